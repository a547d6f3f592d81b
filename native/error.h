// One kind of failure for everything: thrown as plain C++ where it happens, turned into the NativeError of
// src/native/errors.ts where the call came from.
#pragma once

#include <napi.h>

#include <string>

namespace fairway {

struct Failure {
    int error;             // errno, positive
    std::string operation; // "load program"
    std::string object;    // "uplink_ingress"
    std::string detail;    // what more there is to say, in one line
    std::string log;       // libbpf's lines, the end of the verifier's log
};

// The NativeError that JavaScript's init() has told us to make.
Napi::Error toError(Napi::Env env, const Failure &failure);

// Throws Failure when a libbpf call returned a negative errno; gives its result back otherwise.
int check(int result, const char *operation, const std::string &object, const std::string &detail = "");

// An exported function: calls it and turns its Failure into a JavaScript exception.
template <Napi::Value (*function)(const Napi::CallbackInfo &)>
Napi::Value guarded(const Napi::CallbackInfo &info) {
    try {
        return function(info);
    } catch (const Failure &failure) {
        throw toError(info.Env(), failure);
    }
}

} // namespace fairway
