#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <memory>
#include <vector>

#include "fd.h"
#include "handle.h"
#include "watcher.h"

namespace fairway {

// Reads a ring buffer map. See src/native/ring-buffer.ts.
class RingBuffer : public Guarded<RingBuffer> {
public:
    static void define(Napi::Env env);
    // Arguments: map handle, function, budget.
    explicit RingBuffer(const Napi::CallbackInfo &info);

private:
    void open(const Napi::CallbackInfo &info);
    void consume(Napi::Env env);
    Napi::Value close(const Napi::CallbackInfo &info);
    static int collect(void *self, void *data, size_t size);

    struct Free {
        void operator()(ring_buffer *ring) const { ring_buffer__free(ring); }
    };
    Fd map_;
    std::unique_ptr<ring_buffer, Free> ring_;
    std::unique_ptr<Watcher> watcher_;
    Napi::FunctionReference onRecord_;
    uint32_t budget_ = 0;
    std::vector<std::vector<uint8_t>> records_; // of one turn
};

Napi::Value openRingBuffer(const Napi::CallbackInfo &info);

} // namespace fairway
