#pragma once

#include <napi.h>

#include "handle.h"

namespace fairway {

// A BPF link. See src/native/link.ts.
class Link : public FdHandle<Link> {
public:
    static constexpr const char *kind = "link";
    static Napi::FunctionReference &constructor(AddonData &data) { return data.link; }
    static void define(Napi::Env env);
    using FdHandle::FdHandle;
    void opened();

private:
    Napi::Value info(const Napi::CallbackInfo &info);
    Napi::Value update(const Napi::CallbackInfo &info);
    Napi::Value detach(const Napi::CallbackInfo &info);
};

// Argument: array of links.
Napi::Value linkDevices(const Napi::CallbackInfo &info);
Napi::Value openPinnedLink(const Napi::CallbackInfo &info);

} // namespace fairway
