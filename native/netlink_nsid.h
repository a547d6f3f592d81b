#pragma once

#include <napi.h>

namespace fairway {

// Argument: array of paths. See src/native/netlink.ts.
Napi::Value netnsIds(const Napi::CallbackInfo &info);
// Argument: path. See src/native/system.ts.
Napi::Value enterNetworkNamespace(const Napi::CallbackInfo &info);

} // namespace fairway
