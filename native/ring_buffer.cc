#include "ring_buffer.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "arguments.h"
#include "libbpf_log.h"
#include "map.h"

namespace fairway {

void RingBuffer::define(Napi::Env env) {
    Napi::Function function =
        DefineClass(env, "RingBufferHandle", {Guarded::define<&RingBuffer::close>("close")});
    addonData(env).ringBuffer = Napi::Persistent(function);
}

RingBuffer::RingBuffer(const Napi::CallbackInfo &info) : Guarded<RingBuffer>(info) {
    try {
        open(info);
    } catch (const Failure &failure) {
        throw toError(info.Env(), failure);
    }
}

void RingBuffer::open(const Napi::CallbackInfo &info) {
    Map &map = Map::from(info[0]);
    onRecord_ = Napi::Persistent(info[1].As<Napi::Function>());
    budget_ = std::max<uint32_t>(info[2].As<Napi::Number>().Uint32Value(), 1);
    // Of its own, so that the map's handle may be closed.
    int descriptor = fcntl(map.fd("read ring buffer"), F_DUPFD_CLOEXEC, 0);
    map_ = Fd(check(descriptor < 0 ? -errno : descriptor, "read ring buffer", map.name()));
    LogCapture log;
    ring_.reset(ring_buffer__new(map_.get(), collect, this, nullptr));
    if (ring_ == nullptr) {
        throw Failure{errno, "read ring buffer", map.name(), log.verdict(), ""};
    }
    watcher_ = std::make_unique<Watcher>(info.Env(), ring_buffer__epoll_fd(ring_.get()),
                                         "fairway ring buffer", [this](Napi::Env env) { consume(env); });
    Ref(); // while it is open nobody needs to hold it
}

// Called by libbpf for each record. JavaScript is called when libbpf is done, so that its exceptions and its
// close() don't meet libbpf half-way.
int RingBuffer::collect(void *self, void *data, size_t size) {
    auto *record = static_cast<const uint8_t *>(data);
    static_cast<RingBuffer *>(self)->records_.emplace_back(record, record + size);
    return 0;
}

void RingBuffer::consume(Napi::Env env) {
    int consumed = ring_buffer__consume_n(ring_.get(), budget_);
    std::vector<std::vector<uint8_t>> records = std::move(records_);
    records_.clear();
    for (const auto &record : records) {
        if (watcher_->stopped()) {
            return;
        }
        Napi::HandleScope scope(env);
        notify(env, onRecord_, {copied(env, record.data(), record.size())});
    }
    check(consumed, "read ring buffer", "");
}

Napi::Value RingBuffer::close(const Napi::CallbackInfo &info) {
    if (!watcher_->stopped()) {
        watcher_->stop();
        ring_.reset();
        map_.reset();
        Unref();
    }
    return info.Env().Undefined();
}

Napi::Value openRingBuffer(const Napi::CallbackInfo &info) {
    return addonData(info.Env()).ringBuffer.New({info[0], info[1], info[2]});
}

} // namespace fairway
