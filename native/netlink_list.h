#pragma once

#include <libmnl/libmnl.h>
#include <napi.h>

namespace fairway {

// rtnetlink's lists as arrays of the objects of src/native/netlink.ts.
Napi::Value listLinks(const Napi::CallbackInfo &info);
// Argument: array of ifindexes.
Napi::Value getLinks(const Napi::CallbackInfo &info);
Napi::Value listAddresses(const Napi::CallbackInfo &info);
Napi::Value listRoutes(const Napi::CallbackInfo &info);
// Argument: the address. Undefined where the kernel says nothing.
Napi::Value findRoute(const Napi::CallbackInfo &info);
Napi::Value listNeighbours(const Napi::CallbackInfo &info);

// A NetLink of RTM_NEWLINK or RTM_DELLINK.
Napi::Object linkObject(Napi::Env env, const nlmsghdr *message);

} // namespace fairway
