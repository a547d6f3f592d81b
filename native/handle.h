// What the JavaScript handles of maps, programs and links share: a file descriptor, a name for errors, pin
// and close.
#pragma once

#include <bpf/bpf.h>
#include <napi.h>

#include <cerrno>
#include <string>

#include "addon.h"
#include "error.h"
#include "fd.h"

namespace fairway {

// Every method of T that JavaScript calls goes through guard<&T::method>, as every function goes through
// guarded<>.
template <typename T> class Guarded : public Napi::ObjectWrap<T> {
public:
    using Napi::ObjectWrap<T>::ObjectWrap;

protected:
    using Method = Napi::Value (T::*)(const Napi::CallbackInfo &);

    template <auto method> Napi::Value call(const Napi::CallbackInfo &info) {
        try {
            return (static_cast<T *>(this)->*method)(info);
        } catch (const Failure &failure) {
            throw toError(info.Env(), failure);
        }
    }

    template <auto method> static Napi::ClassPropertyDescriptor<T> define(const char *name) {
        return T::InstanceMethod(name, static_cast<Method>(&Guarded::template call<method>));
    }
};

// T has: static Napi::FunctionReference &constructor(AddonData &), static const char *const kind, void
// opened().
template <typename T> class FdHandle : public Guarded<T> {
public:
    // Only make() below gets here with what it takes; `new handle.constructor()` from JavaScript is refused.
    explicit FdHandle(const Napi::CallbackInfo &info) : Guarded<T>(info) {
        if (info.Length() != 1 || !info[0].IsExternal()) {
            throw Napi::TypeError::New(info.Env(), "not to be constructed");
        }
        fd_ = std::move(*info[0].template As<Napi::External<Fd>>().Data());
    }

    // name is for messages: the kernel's own are cut to 15 characters. Without one the kernel's is used.
    static Napi::Value make(Napi::Env env, Fd fd, const std::string &name = "") {
        Napi::Object object = T::constructor(addonData(env)).New({Napi::External<Fd>::New(env, &fd)});
        T *handle = T::Unwrap(object);
        handle->opened();
        if (!name.empty()) {
            handle->name_ = name;
        }
        return object;
    }

    // The T behind a JavaScript value; TypeError when it is something else.
    static T &from(const Napi::Value &value) {
        Napi::Env env = value.Env();
        if (!value.IsObject() ||
            !value.As<Napi::Object>().InstanceOf(T::constructor(addonData(env)).Value())) {
            throw Napi::TypeError::New(env, std::string("not a ") + T::kind);
        }
        return *T::Unwrap(value.As<Napi::Object>());
    }

    int fd(const char *operation) const {
        if (!fd_.open()) {
            throw Failure{EBADF, operation, name_, "it was closed", ""};
        }
        return fd_.get();
    }
    const std::string &name() const { return name_; }

    Napi::Value pin(const Napi::CallbackInfo &info) {
        std::string path = info[0].As<Napi::String>();
        int descriptor = fd("pin");
        check(bpf_obj_pin(descriptor, path.c_str()), "pin", name_, path);
        return info.Env().Undefined();
    }

    Napi::Value close(const Napi::CallbackInfo &info) {
        fd_.reset();
        return info.Env().Undefined();
    }

protected:
    Fd fd_;
    std::string name_ = T::kind;
};

// Opens what is pinned at the path; operation is "open pinned map" and the like, kind "map", "prog" or
// "link".
Fd openPinned(const char *operation, const std::string &path, const std::string &kind);

} // namespace fairway
