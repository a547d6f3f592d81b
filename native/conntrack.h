#pragma once

#include <napi.h>

namespace fairway {

// The connection tracking table. See src/native/conntrack.ts.
Napi::Value listConntrack(const Napi::CallbackInfo &info);
Napi::Value deleteConntrack(const Napi::CallbackInfo &info);
Napi::Value deleteConntrackOf(const Napi::CallbackInfo &info);
Napi::Value updateConntrackTcp(const Napi::CallbackInfo &info);

} // namespace fairway
