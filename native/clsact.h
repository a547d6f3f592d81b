// tc programs as filters of the clsact qdisc, for kernels without TCX.
#pragma once

#include <napi.h>

#include <string>

namespace fairway {

struct ClsactFilter {
    uint32_t ifindex;
    bool egress;
    uint32_t priority;
    uint32_t handle;
};

// From the arguments (ifindex, direction, priority, handle).
ClsactFilter clsactFilter(const Napi::CallbackInfo &info);

// True when it made the qdisc as well.
bool attachFilter(const ClsactFilter &filter, int program, const std::string &name, const std::string &where);

Napi::Value detachClsact(const Napi::CallbackInfo &info);
// Arguments: ifindex, direction. Filters of whatever kind, as src/native/program.ts describes them.
Napi::Value clsactFilters(const Napi::CallbackInfo &info);
// Argument: ifindex.
Napi::Value removeClsact(const Napi::CallbackInfo &info);

} // namespace fairway
