#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <map>
#include <memory>
#include <string>

#include "handle.h"

namespace fairway {

// A BPF object file. See src/native/object.ts.
class Object : public Guarded<Object> {
public:
    static void define(Napi::Env env);
    explicit Object(const Napi::CallbackInfo &info);

private:
    Napi::Value maps(const Napi::CallbackInfo &info);
    Napi::Value programs(const Napi::CallbackInfo &info);
    Napi::Value setConstant(const Napi::CallbackInfo &info);
    Napi::Value setMaxEntries(const Napi::CallbackInfo &info);
    Napi::Value setAutoload(const Napi::CallbackInfo &info);
    Napi::Value reuseMap(const Napi::CallbackInfo &info);
    Napi::Value load(const Napi::CallbackInfo &info);
    Napi::Value map(const Napi::CallbackInfo &info);
    Napi::Value program(const Napi::CallbackInfo &info);
    Napi::Value close(const Napi::CallbackInfo &info);

    bpf_object *object(const char *operation) const;
    bpf_object *unloaded(const char *operation) const;
    bpf_map *findMap(const char *operation, const std::string &name) const;
    bpf_program *findProgram(const char *operation, const std::string &name) const;

    struct Close {
        void operator()(bpf_object *object) const { bpf_object__close(object); }
    };
    std::unique_ptr<bpf_object, Close> object_;
    // The declared ones by their name there: libbpf renames a map that is reused to what the kernel calls it.
    std::map<std::string, bpf_map *> maps_;
    std::string name_;
    bool loaded_ = false;
};

// Arguments: image, name.
Napi::Value openObject(const Napi::CallbackInfo &info);

} // namespace fairway
