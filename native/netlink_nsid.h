#pragma once

#include <napi.h>

namespace fairway {

// Argument: path. See src/native/netlink.ts.
Napi::Value netnsId(const Napi::CallbackInfo &info);
// Argument: path. See src/native/system.ts.
Napi::Value enterNetworkNamespace(const Napi::CallbackInfo &info);

} // namespace fairway
