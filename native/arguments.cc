#include "arguments.h"

#include <cerrno>

#include "error.h"

namespace fairway {

Bytes bytes(const Napi::Value &value) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
        throw Napi::TypeError::New(value.Env(), "not a Uint8Array");
    }
    auto array = value.As<Napi::Uint8Array>();
    return {array.Data(), array.ByteLength()};
}

void checkSize(const char *operation, const std::string &object, const char *what, size_t given,
               size_t expected) {
    if (given != expected) {
        throw Failure{EMSGSIZE, operation, object,
                      std::string(what) + " has " + std::to_string(given) + " bytes, not " +
                          std::to_string(expected),
                      ""};
    }
}

} // namespace fairway
