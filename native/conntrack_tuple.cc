#include "conntrack_tuple.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>

#include "error.h"

namespace fairway {

namespace {

size_t addressSize(int family) {
    return family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr);
}

std::string addressOf(int family, const std::array<uint8_t, 16> &address) {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(family, address.data(), text, sizeof(text));
    return text;
}

void readAddress(const char *operation, int family, const Napi::Value &value,
                 std::array<uint8_t, 16> &address) {
    std::string text = value.As<Napi::String>();
    if (inet_pton(family, text.c_str(), address.data()) != 1) {
        throw Failure{EINVAL, operation, text,
                      family == AF_INET ? "not an IPv4 address" : "not an IPv6 address", ""};
    }
}

void copyAddress(const nlattr *attribute, std::array<uint8_t, 16> &address) {
    if (attribute != nullptr) {
        memcpy(address.data(), mnl_attr_get_payload(attribute),
               std::min<size_t>(16, mnl_attr_get_payload_len(attribute)));
    }
}

// The attributes of ICMP's three numbers.
struct IcmpTypes {
    uint16_t id, type, code;
};
IcmpTypes icmpTypes(uint8_t proto) {
    return proto == IPPROTO_ICMP
               ? IcmpTypes{CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE}
               : IcmpTypes{CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE};
}

bool isIcmp(uint8_t proto) {
    return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

} // namespace

std::string ConntrackTuple::text() const {
    std::string name = proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : std::to_string(proto);
    return name + " " + addressOf(family, saddr) + ":" + std::to_string(sport) + " > " +
           addressOf(family, daddr) + ":" + std::to_string(dport);
}

ConntrackTuple tupleFrom(const char *operation, const Napi::Value &value) {
    auto object = value.As<Napi::Object>();
    auto number = [&](const char *name) { return object.Get(name).As<Napi::Number>().Uint32Value(); };
    ConntrackTuple tuple;
    uint32_t family = number("family");
    if (family != 4 && family != 6) {
        throw Failure{EINVAL, operation, "", "the family is neither 4 nor 6", ""};
    }
    tuple.family = family == 4 ? AF_INET : AF_INET6;
    tuple.proto = static_cast<uint8_t>(number("proto"));
    readAddress(operation, tuple.family, object.Get("saddr"), tuple.saddr);
    readAddress(operation, tuple.family, object.Get("daddr"), tuple.daddr);
    tuple.sport = static_cast<uint16_t>(number("sport"));
    tuple.dport = static_cast<uint16_t>(number("dport"));
    return tuple;
}

Napi::Object tupleObject(Napi::Env env, const ConntrackTuple &tuple) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("family", Napi::Number::New(env, tuple.family == AF_INET ? 4 : 6));
    object.Set("proto", Napi::Number::New(env, tuple.proto));
    object.Set("saddr", addressOf(tuple.family, tuple.saddr));
    object.Set("daddr", addressOf(tuple.family, tuple.daddr));
    object.Set("sport", Napi::Number::New(env, tuple.sport));
    object.Set("dport", Napi::Number::New(env, tuple.dport));
    return object;
}

void putTuple(NetlinkMessage &message, uint16_t type, const ConntrackTuple &tuple) {
    NetlinkMessage::Nest nest(message, type);
    {
        NetlinkMessage::Nest ip(message, CTA_TUPLE_IP);
        bool four = tuple.family == AF_INET;
        message.put(four ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, tuple.saddr.data(), addressSize(tuple.family));
        message.put(four ? CTA_IP_V4_DST : CTA_IP_V6_DST, tuple.daddr.data(), addressSize(tuple.family));
    }
    NetlinkMessage::Nest proto(message, CTA_TUPLE_PROTO);
    message.put8(CTA_PROTO_NUM, tuple.proto);
    if (isIcmp(tuple.proto)) {
        IcmpTypes types = icmpTypes(tuple.proto);
        message.put16(types.id, htons(tuple.sport));
        message.put8(types.type, static_cast<uint8_t>(tuple.dport >> 8));
        message.put8(types.code, static_cast<uint8_t>(tuple.dport));
    } else {
        message.put16(CTA_PROTO_SRC_PORT, htons(tuple.sport));
        message.put16(CTA_PROTO_DST_PORT, htons(tuple.dport));
    }
}

void putSource(const char *operation, NetlinkMessage &message, uint16_t type, int family,
               const Napi::Value &address) {
    std::array<uint8_t, 16> source = {};
    readAddress(operation, family, address, source);
    NetlinkMessage::Nest nest(message, type);
    NetlinkMessage::Nest ip(message, CTA_TUPLE_IP);
    message.put(family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, source.data(), addressSize(family));
}

ConntrackTuple parseTuple(int family, const nlattr *attribute) {
    ConntrackTuple tuple;
    tuple.family = family;
    Attributes<CTA_TUPLE_MAX + 1> parts(attribute);
    Attributes<CTA_IP_MAX + 1> ip(parts.get(CTA_TUPLE_IP));
    Attributes<CTA_PROTO_MAX + 1> proto(parts.get(CTA_TUPLE_PROTO));
    copyAddress(ip.get(family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC), tuple.saddr);
    copyAddress(ip.get(family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST), tuple.daddr);
    proto.read(CTA_PROTO_NUM, tuple.proto);
    uint16_t number = 0;
    if (isIcmp(tuple.proto)) {
        IcmpTypes types = icmpTypes(tuple.proto);
        uint8_t type = 0, code = 0;
        proto.read(types.id, number);
        proto.read(types.type, type);
        proto.read(types.code, code);
        tuple.sport = ntohs(number);
        tuple.dport = static_cast<uint16_t>(type << 8 | code);
    } else {
        if (proto.read(CTA_PROTO_SRC_PORT, number)) {
            tuple.sport = ntohs(number);
        }
        if (proto.read(CTA_PROTO_DST_PORT, number)) {
            tuple.dport = ntohs(number);
        }
    }
    return tuple;
}

} // namespace fairway
