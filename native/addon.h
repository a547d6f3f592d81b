// What one instance of the addon (one JavaScript environment) keeps.
#pragma once

#include <napi.h>

namespace fairway {

struct AddonData {
    Napi::FunctionReference makeError;
    Napi::FunctionReference map;
    Napi::FunctionReference program;
    Napi::FunctionReference link;
    Napi::FunctionReference object;
    Napi::FunctionReference ringBuffer;
    Napi::FunctionReference monitor;
};

inline AddonData &addonData(Napi::Env env) {
    return *env.GetInstanceData<AddonData>();
}

} // namespace fairway
