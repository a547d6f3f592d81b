#include "memory.h"

#include <malloc.h>

namespace fairway {

// Argument: bytes.
Napi::Value returnLargeBlocks(const Napi::CallbackInfo &info) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, info[0].As<Napi::Number>().Int32Value());
#endif
    return info.Env().Undefined();
}

} // namespace fairway
