// What a scrape spends its time with on a large host: in JavaScript a line takes three times as long, and
// many times that before it is compiled.
#include "lines.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

#include "arguments.h"
#include "error.h"

namespace fairway {

namespace {

// What is before a text: a mark, and its length (u32 in the host's order, not aligned).
constexpr size_t headSize = 1 + sizeof(uint32_t);
constexpr double largestCount = 9007199254740991; // 2^53 - 1
constexpr size_t mostDigits = 16;

struct Text {
    uint8_t *mark;
    const uint8_t *bytes;
    size_t length;
};

Text textAt(Napi::Uint8Array store, size_t place) {
    const size_t size = store.ByteLength();
    if (place > size || size - place < headSize) {
        throw Failure{EINVAL, "write lines", "", "a text that is not in the store", ""};
    }
    uint8_t *head = store.Data() + place;
    uint32_t length;
    std::memcpy(&length, head + 1, sizeof(length));
    if (length > size - place - headSize) {
        throw Failure{EINVAL, "write lines", "", "a text that ends behind the store", ""};
    }
    return {head, head + headSize, length};
}

bool isCount(double value) {
    return value >= 0 && value <= largestCount && std::floor(value) == value;
}

} // namespace

// Arguments: what to write to, the store, the name's place, places, values, the first line, the end of lines,
// a mark for what is written, and two numbers for what is returned beside the next line: bytes written, bytes
// of texts newly marked.
Napi::Value writeLines(const Napi::CallbackInfo &info) {
    auto piece = info[0].As<Napi::Uint8Array>();
    auto store = info[1].As<Napi::Uint8Array>();
    auto places = info[3].As<Napi::Int32Array>();
    auto values = info[4].As<Napi::Float64Array>();
    uint32_t line = info[5].As<Napi::Number>().Uint32Value();
    const uint32_t end = info[6].As<Napi::Number>().Uint32Value();
    const auto mark = static_cast<uint8_t>(info[7].As<Napi::Number>().Uint32Value());
    auto told = info[8].As<Napi::Float64Array>();
    if (end > places.ElementLength() || end > values.ElementLength() || told.ElementLength() < 2) {
        throw Failure{EINVAL, "write lines", "", "more lines than there are", ""};
    }
    const Text name = textAt(store, info[2].As<Napi::Number>().Uint32Value());
    uint8_t *out = piece.Data();
    const size_t room = piece.ByteLength();
    size_t used = 0, marked = 0;
    for (; line < end; line++) {
        const double value = values[line];
        const Text text = textAt(store, static_cast<uint32_t>(places[line]));
        if (!isCount(value) || name.length + text.length + mostDigits + 1 > room - used) {
            break;
        }
        if (*text.mark != mark) {
            *text.mark = mark;
            marked += headSize + text.length;
        }
        std::memcpy(out + used, name.bytes, name.length);
        used += name.length;
        std::memcpy(out + used, text.bytes, text.length);
        used += text.length;
        char *digits = reinterpret_cast<char *>(out + used);
        used += std::to_chars(digits, digits + mostDigits, static_cast<uint64_t>(value)).ptr - digits;
        out[used++] = '\n';
    }
    told[0] = static_cast<double>(used);
    told[1] = static_cast<double>(marked);
    return Napi::Number::New(info.Env(), line);
}

} // namespace fairway
