// Building a netlink message, and reading attributes.
#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fairway {

// One request. Attributes must fit into 4 KiB, which no request here comes near.
class NetlinkMessage {
public:
    NetlinkMessage(uint16_t type, uint16_t flags) : buffer_(4096) {
        header()->nlmsg_len = 0;
        mnl_nlmsg_put_header(buffer_.data());
        header()->nlmsg_type = type;
        header()->nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
    }

    nlmsghdr *header() { return reinterpret_cast<nlmsghdr *>(buffer_.data()); }
    // The family's own header (ifinfomsg, ...), zeroed.
    template <typename T> T *extra() {
        return static_cast<T *>(mnl_nlmsg_put_extra_header(header(), sizeof(T)));
    }

    void put(uint16_t type, const void *data, size_t size) { mnl_attr_put(header(), type, size, data); }
    void put8(uint16_t type, uint8_t value) { mnl_attr_put_u8(header(), type, value); }
    void put16(uint16_t type, uint16_t value) { mnl_attr_put_u16(header(), type, value); }
    void put32(uint16_t type, uint32_t value) { mnl_attr_put_u32(header(), type, value); }

    // What is put while it lives is nested.
    class Nest {
    public:
        Nest(NetlinkMessage &message, uint16_t type)
            : message_(message), start_(mnl_attr_nest_start(message.header(), type)) {}
        ~Nest() { mnl_attr_nest_end(message_.header(), start_); }
        Nest(const Nest &) = delete;
        Nest &operator=(const Nest &) = delete;

    private:
        NetlinkMessage &message_;
        nlattr *start_;
    };

private:
    std::vector<uint8_t> buffer_;
};

// The attributes of a message or of a nest, by type; the last one of a type counts. Attributes whose type is
// not below `count`, or that are too short for what is read, read as missing.
template <size_t count> class Attributes {
public:
    Attributes(const nlmsghdr *message, size_t extraHeader) {
        if (mnl_nlmsg_get_payload_len(message) >= extraHeader) {
            auto *first = static_cast<const nlattr *>(mnl_nlmsg_get_payload_offset(message, extraHeader));
            auto *end = static_cast<const char *>(mnl_nlmsg_get_payload_tail(message));
            take(first, static_cast<int>(end - reinterpret_cast<const char *>(first)));
        }
    }
    explicit Attributes(const nlattr *nest) {
        if (nest != nullptr) {
            take(static_cast<const nlattr *>(mnl_attr_get_payload(nest)), mnl_attr_get_payload_len(nest));
        }
    }

    const nlattr *get(uint16_t type) const { return found_[type]; }
    const nlattr *get(uint16_t type, size_t atLeast) const {
        const nlattr *attribute = found_[type];
        return attribute != nullptr && mnl_attr_get_payload_len(attribute) >= atLeast ? attribute : nullptr;
    }
    // False where it is missing.
    template <typename T> bool read(uint16_t type, T &value) const {
        const nlattr *attribute = get(type, sizeof(T));
        if (attribute == nullptr) {
            return false;
        }
        __builtin_memcpy(&value, mnl_attr_get_payload(attribute), sizeof(T));
        return true;
    }
    // A text, ended by a zero or by the attribute's end; empty where it is missing.
    std::string text(uint16_t type) const;

private:
    void take(const nlattr *attribute, int left) {
        for (; mnl_attr_ok(attribute, left); attribute = mnl_attr_next(attribute)) {
            uint16_t type = mnl_attr_get_type(attribute);
            if (type < count) {
                found_[type] = attribute;
            }
            left -= MNL_ALIGN(attribute->nla_len);
        }
    }
    std::array<const nlattr *, count> found_ = {};
};

std::string attributeText(const nlattr *attribute);

template <size_t count> std::string Attributes<count>::text(uint16_t type) const {
    return found_[type] == nullptr ? "" : attributeText(found_[type]);
}

// "192.0.2.1" or "2001:db8::1" of an address attribute with the family's size; empty otherwise.
std::string addressText(int family, const nlattr *attribute);
// "02:42:ac:11:00:02" of a six-byte attribute; empty otherwise.
std::string macText(const nlattr *attribute);

} // namespace fairway
