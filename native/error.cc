#include "error.h"

#include <cstring>

#include "addon.h"

namespace fairway {

// The kernel's own ENOTSUPP, which never should have left it; the C library has no text for it.
constexpr int kernelNotSupported = 524;

Napi::Error toError(Napi::Env env, const Failure &failure) {
    Napi::Object fields = Napi::Object::New(env);
    fields["errno"] = Napi::Number::New(env, failure.error);
    fields["operation"] = Napi::String::New(env, failure.operation);
    fields["object"] = Napi::String::New(env, failure.object);
    fields["text"] =
        Napi::String::New(env, failure.error == kernelNotSupported ? "Operation not supported by the kernel"
                                                                   : strerror(failure.error));
    if (!failure.detail.empty()) {
        fields["detail"] = Napi::String::New(env, failure.detail);
    }
    if (!failure.log.empty()) {
        fields["log"] = Napi::String::New(env, failure.log);
    }
    AddonData &data = addonData(env);
    if (data.makeError.IsEmpty()) {
        return Napi::Error::New(env,
                                failure.operation + " " + failure.object + ": " + strerror(failure.error));
    }
    return Napi::Error(env, data.makeError.Call({fields}));
}

int check(int result, const char *operation, const std::string &object, const std::string &detail) {
    if (result < 0) {
        throw Failure{-result, operation, object, detail, ""};
    }
    return result;
}

} // namespace fairway
