#pragma once

#include <napi.h>

namespace fairway {

// Of the process's memory: see src/native/memory.ts.
Napi::Value returnLargeBlocks(const Napi::CallbackInfo &info);

} // namespace fairway
