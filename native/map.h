#pragma once

#include <napi.h>

#include <memory>

#include "handle.h"

namespace fairway {

// A BPF map. See src/native/map.ts for what each method promises.
class Map : public FdHandle<Map> {
public:
    static constexpr const char *kind = "map";
    static Napi::FunctionReference &constructor(AddonData &data) { return data.map; }
    static void define(Napi::Env env);
    using FdHandle::FdHandle;

    // Reads what the kernel knows of the map.
    void opened();
    const bpf_map_info &kernelInfo() const { return info_; }
    size_t valueLength() const { return valueLength_; }

private:
    Napi::Value info(const Napi::CallbackInfo &info);
    Napi::Value length(const Napi::CallbackInfo &info);
    Napi::Value get(const Napi::CallbackInfo &info);
    Napi::Value set(const Napi::CallbackInfo &info);
    Napi::Value remove(const Napi::CallbackInfo &info);
    // Up to so many entries; next: where the rest begins, none at the end.
    struct Batch {
        std::unique_ptr<uint8_t[]> keys, values;
        uint32_t count;
        std::unique_ptr<uint8_t[]> next;
    };

    Napi::Value getBatch(const Napi::CallbackInfo &info);
    Napi::Value sumBatch(const Napi::CallbackInfo &info);
    Napi::Value setBatch(const Napi::CallbackInfo &info);
    Napi::Value removeBatch(const Napi::CallbackInfo &info);

    Batch readBatch(const Napi::CallbackInfo &info);
    Batch readAll(int fd);
    Napi::Object described(Napi::Env env, const Batch &read) const;
    int writeFrom(uint32_t &done, int fd, const uint8_t *keys, const uint8_t *values, uint32_t total);
    uint32_t keysIn(const char *operation, size_t bytes) const;

    bpf_map_info info_ = {};
    size_t valueLength_ = 0;
    bool batches_ = true; // until the kernel says that this type has none
};

// The map behind a pin; makes one.
Napi::Value openPinnedMap(const Napi::CallbackInfo &info);
Napi::Value createMap(const Napi::CallbackInfo &info);

} // namespace fairway
