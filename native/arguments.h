// Reading arguments that JavaScript gave.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace fairway {

struct Bytes {
    const uint8_t *data = nullptr;
    size_t size = 0;
};

// The bytes of a Uint8Array or Buffer, valid during the call; TypeError when it is something else.
Bytes bytes(const Napi::Value &value);

// Failure EMSGSIZE unless there are exactly as many bytes as expected; what is "key", "value", ...
void checkSize(const char *operation, const std::string &object, const char *what, size_t given,
               size_t expected);

// A property that may be missing, as a number.
inline uint32_t numberOr(const Napi::Object &object, const char *name, uint32_t otherwise) {
    Napi::Value value = object.Get(name);
    return value.IsNumber() ? value.As<Napi::Number>().Uint32Value() : otherwise;
}

inline Napi::Value copied(Napi::Env env, const void *data, size_t size) {
    return Napi::Buffer<uint8_t>::Copy(env, static_cast<const uint8_t *>(data), size);
}

} // namespace fairway
