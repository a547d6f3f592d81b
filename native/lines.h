#pragma once

#include <napi.h>

namespace fairway {

// Lines of Prometheus' text format: see src/native/lines.ts.
Napi::Value writeLines(const Napi::CallbackInfo &info);

} // namespace fairway
