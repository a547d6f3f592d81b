#include "netlink_message.h"

#include <arpa/inet.h>

#include <cstdio>
#include <cstring>

namespace fairway {

std::string attributeText(const nlattr *attribute) {
    auto *text = static_cast<const char *>(mnl_attr_get_payload(attribute));
    return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
}

std::string addressText(int family, const nlattr *attribute) {
    if (attribute == nullptr) {
        return "";
    }
    size_t size = family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr);
    char text[INET6_ADDRSTRLEN] = "";
    if (mnl_attr_get_payload_len(attribute) == size) {
        inet_ntop(family, mnl_attr_get_payload(attribute), text, sizeof(text));
    }
    return text;
}

std::string macText(const nlattr *attribute) {
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != 6) {
        return "";
    }
    auto *mac = static_cast<const uint8_t *>(mnl_attr_get_payload(attribute));
    char text[18];
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
    return text;
}

} // namespace fairway
