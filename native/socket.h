#pragma once

#include <napi.h>

namespace fairway {

// Of sockets in general: see src/native/socket.ts.
Napi::Value netnsCookie(const Napi::CallbackInfo &info);
Napi::Value redialUdp(const Napi::CallbackInfo &info);

} // namespace fairway
