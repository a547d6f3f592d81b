#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "arguments.h"

namespace fairway {

namespace {

using Storage = std::unique_ptr<uint8_t[]>;

// Hands out memory that nobody needs zeroed first.
Storage allocate(size_t size) {
    return Storage(new uint8_t[std::max<size_t>(size, 1)]);
}

Storage copyOf(const std::vector<uint8_t> &bytes) {
    Storage copy = allocate(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.get());
    return copy;
}

bool perCpu(uint32_t type) {
    return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
           type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

size_t roundUp8(size_t size) {
    return (size + 7) / 8 * 8;
}

// ENOTSUPP (524): the map type has no such batch. EINVAL: the kernel has no batches at all, or refuses for
// another reason, which the call for a single entry will then tell.
bool hasNoBatch(int error) {
    return error == -524 || error == -EOPNOTSUPP || error == -EINVAL;
}

// Hash tables that are not preallocated take entries from a small reserve, those of per-CPU ones from pages
// that a worker of the kernel provides: who writes many at once finds it empty for a moment, with all memory
// free (kernel/bpf/memalloc.c, mm/percpu.c). So ENOMEM is believed only when it stays.
constexpr int shortagePauses = 100;
constexpr auto shortagePause = std::chrono::milliseconds(1);

template <typename Write> int writePatiently(Write write) {
    int error = write();
    for (int pauses = 0; error == -ENOMEM && pauses < shortagePauses; pauses++) {
        std::this_thread::sleep_for(shortagePause);
        error = write();
    }
    return error;
}

// A batch's place in the map: a bucket's number in hash tables, a key in others.
size_t cursorLength(const bpf_map_info &info) {
    return std::max<size_t>(info.key_size, sizeof(uint32_t));
}

uint32_t mapType(const std::string &name) {
    for (uint32_t type = 0;; type++) {
        const char *known = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(type));
        if (known == nullptr) {
            throw Failure{EINVAL, "create map", name, "no such map type", ""};
        }
        if (name == known) {
            return type;
        }
    }
}

} // namespace

void Map::define(Napi::Env env) {
    Napi::Function function = DefineClass(env, "MapHandle",
                                          {
                                              Guarded::define<&Map::info>("info"),
                                              Guarded::define<&Map::length>("valueLength"),
                                              Guarded::define<&Map::get>("get"),
                                              Guarded::define<&Map::set>("set"),
                                              Guarded::define<&Map::remove>("delete"),
                                              Guarded::define<&Map::getBatch>("getBatch"),
                                              Guarded::define<&Map::sumBatch>("sumBatch"),
                                              Guarded::define<&Map::setBatch>("setBatch"),
                                              Guarded::define<&Map::removeBatch>("deleteBatch"),
                                              Guarded::define<&Map::pin>("pin"),
                                              Guarded::define<&Map::close>("close"),
                                          });
    addonData(env).map = Napi::Persistent(function);
}

void Map::opened() {
    uint32_t length = sizeof(info_);
    check(bpf_map_get_info_by_fd(fd("open map"), &info_, &length), "open map", name_);
    name_ = info_.name;
    if (info_.type == BPF_MAP_TYPE_DEVMAP || info_.type == BPF_MAP_TYPE_DEVMAP_HASH) {
        info_.map_flags &= ~static_cast<uint32_t>(BPF_F_RDONLY_PROG); // the kernel's own addition
    }
    size_t cpus = 1;
    valueLength_ = info_.value_size;
    if (perCpu(info_.type)) {
        cpus = static_cast<size_t>(check(libbpf_num_possible_cpus(), "count CPUs", ""));
        valueLength_ = roundUp8(info_.value_size) * cpus;
    }
}

Napi::Value Map::info(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    fd("read info");
    const char *type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(info_.type));
    Napi::Object result = Napi::Object::New(env);
    result["id"] = Napi::Number::New(env, info_.id);
    result["name"] = Napi::String::New(env, info_.name);
    result["type"] = Napi::String::New(env, type == nullptr ? std::to_string(info_.type) : type);
    result["keySize"] = Napi::Number::New(env, info_.key_size);
    result["valueSize"] = Napi::Number::New(env, info_.value_size);
    result["maxEntries"] = Napi::Number::New(env, info_.max_entries);
    result["flags"] = Napi::Number::New(env, info_.map_flags);
    return result;
}

Napi::Value Map::length(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), static_cast<double>(valueLength_));
}

Napi::Value Map::get(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Bytes key = bytes(info[0]);
    int descriptor = fd("read map");
    checkSize("read map", name_, "key", key.size, info_.key_size);
    Storage value = allocate(valueLength_);
    int error = bpf_map_lookup_elem(descriptor, key.data, value.get());
    if (error == -ENOENT) {
        return env.Undefined();
    }
    check(error, "read map", name_);
    return copied(env, value.get(), valueLength_);
}

Napi::Value Map::set(const Napi::CallbackInfo &info) {
    Bytes key = bytes(info[0]);
    Bytes value = bytes(info[1]);
    uint32_t flags = info[2].As<Napi::Number>().Uint32Value();
    int descriptor = fd("write map");
    checkSize("write map", name_, "key", key.size, info_.key_size);
    checkSize("write map", name_, "value", value.size, valueLength_);
    int error = writePatiently([&] { return bpf_map_update_elem(descriptor, key.data, value.data, flags); });
    check(error, "write map", name_);
    return info.Env().Undefined();
}

Napi::Value Map::remove(const Napi::CallbackInfo &info) {
    Bytes key = bytes(info[0]);
    int descriptor = fd("delete from map");
    checkSize("delete from map", name_, "key", key.size, info_.key_size);
    int error = bpf_map_delete_elem(descriptor, key.data);
    if (error != -ENOENT) {
        check(error, "delete from map", name_);
    }
    return Napi::Boolean::New(info.Env(), error == 0);
}

// How many keys so many bytes are.
uint32_t Map::keysIn(const char *operation, size_t bytes) const {
    if (info_.key_size == 0) {
        throw Failure{EINVAL, operation, name_, "the map has no keys", ""};
    }
    if (bytes % info_.key_size != 0 || bytes / info_.key_size > UINT32_MAX) {
        throw Failure{EMSGSIZE, operation, name_,
                      std::to_string(bytes) + " bytes of keys are no multiple of " +
                          std::to_string(info_.key_size),
                      ""};
    }
    return static_cast<uint32_t>(bytes / info_.key_size);
}

Napi::Value Map::getBatch(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Batch read = readBatch(info);
    Napi::Object result = described(env, read);
    result["values"] = copied(env, read.values.get(), read.count * valueLength_);
    return result;
}

Napi::Value Map::sumBatch(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    const size_t fields = info_.value_size / sizeof(uint64_t);
    if (!perCpu(info_.type) || info_.value_size % sizeof(uint64_t) != 0) {
        throw Failure{EINVAL, "sum map", name_, "no per-CPU map whose values are u64 only", ""};
    }
    Batch read = readBatch(info);
    auto sums = Napi::Float64Array::New(env, read.count * fields);
    double *to = sums.Data();
    // new's memory is aligned for any type, and values are multiples of 8 bytes.
    auto *from = reinterpret_cast<const uint64_t *>(read.values.get());
    const size_t cpus = valueLength_ / info_.value_size;
    for (size_t entry = 0; entry < read.count; entry++, from += cpus * fields) {
        for (size_t field = 0; field < fields; field++) {
            uint64_t sum = 0;
            for (size_t cpu = 0; cpu < cpus; cpu++) {
                sum += from[cpu * fields + field];
            }
            *to++ = static_cast<double>(sum);
        }
    }
    Napi::Object result = described(env, read);
    result["sums"] = sums;
    return result;
}

// Keys, count and cursor.
Napi::Object Map::described(Napi::Env env, const Batch &read) const {
    Napi::Object result = Napi::Object::New(env);
    result["keys"] = copied(env, read.keys.get(), static_cast<size_t>(read.count) * info_.key_size);
    result["count"] = Napi::Number::New(env, read.count);
    result["cursor"] =
        read.next == nullptr ? env.Undefined() : copied(env, read.next.get(), cursorLength(info_));
    return result;
}

// A batch's arguments: a cursor or undefined, and how many entries.
Map::Batch Map::readBatch(const Napi::CallbackInfo &info) {
    int descriptor = fd("read map");
    const size_t keySize = info_.key_size;
    keysIn("read map", 0);
    Bytes cursor;
    if (!info[0].IsUndefined()) {
        cursor = bytes(info[0]);
        checkSize("read map", name_, "cursor", cursor.size, cursorLength(info_));
    }
    uint32_t capacity = std::clamp<uint32_t>(info[1].As<Napi::Number>().Uint32Value(), 1, info_.max_entries);
    if (!batches_) {
        return readAll(descriptor);
    }
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    Storage next = allocate(cursorLength(info_));
    for (int interrupted = 0;;) {
        Storage keys = allocate(capacity * keySize);
        Storage values = allocate(capacity * valueLength_);
        uint32_t count = capacity;
        // libbpf takes the input cursor as writable but only hands it on.
        int error = bpf_map_lookup_batch(descriptor, const_cast<uint8_t *>(cursor.data), next.get(),
                                         keys.get(), values.get(), &count, &options);
        if (error == 0) {
            return {std::move(keys), std::move(values), count, std::move(next)};
        }
        if (error == -ENOENT) {
            return {std::move(keys), std::move(values), count, nullptr};
        }
        if (error == -ENOSPC && capacity < (1U << 24)) {
            capacity *= 2; // the next bucket holds more than there was room for
        } else if (error == -EINTR && interrupted++ < 100) {
            // An entry went away while it was read (before 6.14): what was read before it is good.
            if (count > 0 && count <= capacity) {
                return {std::move(keys), std::move(values), count, std::move(next)};
            }
        } else if (hasNoBatch(error)) {
            batches_ = false;
            return readAll(descriptor);
        } else {
            check(error, "read map", name_);
        }
    }
}

// For map types without batches. In one go, so that nobody can delete the key that the next one is asked for
// by.
Map::Batch Map::readAll(int descriptor) {
    const size_t keySize = info_.key_size;
    std::vector<uint8_t> keys, values;
    Storage key = allocate(keySize), value = allocate(valueLength_);
    uint32_t count = 0;
    int error = bpf_map_get_next_key(descriptor, nullptr, key.get());
    // The kernel starts anew when the key given is gone, so the number of steps is bounded.
    for (uint32_t step = 0; error == 0 && step < info_.max_entries; step++) {
        if (bpf_map_lookup_elem(descriptor, key.get(), value.get()) == 0) {
            keys.insert(keys.end(), key.get(), key.get() + keySize);
            values.insert(values.end(), value.get(), value.get() + valueLength_);
            count++;
        }
        error = bpf_map_get_next_key(descriptor, key.get(), key.get());
    }
    if (error != -ENOENT) {
        check(error, "read map", name_);
    }
    return {copyOf(keys), copyOf(values), count, nullptr};
}

// Writes the entries from `done` on, and counts them there.
int Map::writeFrom(uint32_t &done, int descriptor, const uint8_t *keys, const uint8_t *values,
                   uint32_t total) {
    auto key = [&] { return keys + static_cast<size_t>(done) * info_.key_size; };
    auto value = [&] { return values + done * valueLength_; };
    if (batches_) {
        const uint32_t wanted = total - done;
        uint32_t count = wanted;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        int error = bpf_map_update_batch(descriptor, key(), value(), &count, &options);
        if (!hasNoBatch(error)) {
            // Where the kernel failed before the first entry it leaves the count as it was.
            done += error == 0 || count < wanted ? count : 0;
            return error;
        }
    }
    for (; done < total; done++) {
        int error = bpf_map_update_elem(descriptor, key(), value(), BPF_ANY);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

Napi::Value Map::setBatch(const Napi::CallbackInfo &info) {
    Bytes keys = bytes(info[0]);
    Bytes values = bytes(info[1]);
    int descriptor = fd("write map");
    const uint32_t total = keysIn("write map", keys.size);
    checkSize("write map", name_, "buffer of values", values.size, total * valueLength_);
    if (total == 0) {
        return Napi::Number::New(info.Env(), 0);
    }
    uint32_t done = 0, before;
    int error;
    do {
        before = done;
        error = writePatiently([&] { return writeFrom(done, descriptor, keys.data, values.data, total); });
    } while (error == -ENOMEM && done > before);
    check(error, "write map", name_,
          "after " + std::to_string(done) + " of " + std::to_string(total) + " entries");
    return Napi::Number::New(info.Env(), total);
}

Napi::Value Map::removeBatch(const Napi::CallbackInfo &info) {
    Bytes keys = bytes(info[0]);
    int descriptor = fd("delete from map");
    const uint32_t total = keysIn("delete from map", keys.size);
    uint32_t deleted = 0;
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    for (uint32_t at = 0; at < total;) {
        const uint8_t *key = keys.data + static_cast<size_t>(at) * info_.key_size;
        uint32_t count = total - at;
        int error = batches_ ? bpf_map_delete_batch(descriptor, key, &count, &options) : -524;
        if (hasNoBatch(error)) {
            error = bpf_map_delete_elem(descriptor, key);
            count = error == 0;
        }
        deleted += count;
        at += count;
        if (error == -ENOENT) {
            at++; // the key where the batch stopped is missing
        } else {
            check(error, "delete from map", name_, "after " + std::to_string(deleted) + " keys");
        }
    }
    return Napi::Number::New(info.Env(), deleted);
}

Napi::Value openPinnedMap(const Napi::CallbackInfo &info) {
    std::string path = info[0].As<Napi::String>();
    Fd fd = openPinned("open pinned map", path, "map");
    return Map::make(info.Env(), std::move(fd));
}

Napi::Value createMap(const Napi::CallbackInfo &info) {
    auto spec = info[0].As<Napi::Object>();
    std::string name = spec.Get("name").As<Napi::String>();
    uint32_t type = mapType(spec.Get("type").As<Napi::String>());
    if (name.size() >= BPF_OBJ_NAME_LEN) {
        throw Failure{EINVAL, "create map", name, "the name has more than 15 characters", ""};
    }
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = numberOr(spec, "flags", 0));
    int fd = bpf_map_create(static_cast<bpf_map_type>(type), name.c_str(), numberOr(spec, "keySize", 0),
                            numberOr(spec, "valueSize", 0), numberOr(spec, "maxEntries", 0), &options);
    check(fd, "create map", name);
    return Map::make(info.Env(), Fd(fd));
}

} // namespace fairway
