// The tuple that names a connection, between JavaScript's ConntrackTuple and netlink's CTA_TUPLE_*.
#pragma once

#include <napi.h>

#include <array>
#include <cstdint>
#include <string>

#include "netlink_message.h"

namespace fairway {

struct ConntrackTuple {
    int family = 0; // AF_INET, AF_INET6
    uint8_t proto = 0;
    std::array<uint8_t, 16> saddr = {}; // network order; IPv4 in the first four bytes
    std::array<uint8_t, 16> daddr = {};
    uint16_t sport = 0; // host order; ICMP: the id
    uint16_t dport = 0; // host order; ICMP: type * 256 + code

    // "tcp 192.0.2.1:1234 > 198.51.100.1:80", for messages; other protocols by number.
    std::string text() const;
};

// Failure EINVAL where an address is none of the family.
ConntrackTuple tupleFrom(const char *operation, const Napi::Value &value);
Napi::Object tupleObject(Napi::Env env, const ConntrackTuple &tuple);

// As an attribute of the given type (CTA_TUPLE_ORIG, CTA_TUPLE_REPLY).
void putTuple(NetlinkMessage &message, uint16_t type, const ConntrackTuple &tuple);
// Of the tuple only its source address, for a filter. Failure EINVAL where it is none of the family.
void putSource(const char *operation, NetlinkMessage &message, uint16_t type, int family,
               const Napi::Value &address);
ConntrackTuple parseTuple(int family, const nlattr *attribute);

} // namespace fairway
