#pragma once

#include <napi.h>

namespace fairway {

// See src/native/netlink.ts.
Napi::Value firewallGeneration(const Napi::CallbackInfo &info);

} // namespace fairway
