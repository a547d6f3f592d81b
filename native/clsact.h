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

void attachFilter(const ClsactFilter &filter, int program, const std::string &name, const std::string &where);

Napi::Value detachClsact(const Napi::CallbackInfo &info);

} // namespace fairway
