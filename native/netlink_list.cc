#include "netlink_list.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <string>
#include <vector>

#include "error.h"
#include "netlink_message.h"
#include "netlink_socket.h"

namespace fairway {

namespace {

// Of IFLA_INFO_SLAVE_DATA, for a bridge's port: enough of linux/if_link.h's IFLA_BRPORT_* to hold the one
// that is read.
constexpr size_t bridgePortAttributes = IFLA_BRPORT_MODE + 1;

void setNumber(Napi::Object &object, const char *name, double value) {
    object.Set(name, Napi::Number::New(object.Env(), value));
}

void setText(Napi::Object &object, const char *name, const std::string &value) {
    if (!value.empty()) {
        object.Set(name, Napi::String::New(object.Env(), value));
    }
}

template <size_t count>
void setNumberIf(Napi::Object &object, const char *name, const Attributes<count> &attributes, uint16_t type) {
    uint32_t value;
    if (attributes.read(type, value)) {
        setNumber(object, name, value);
    }
}

double familyNumber(int family) {
    return family == AF_INET ? 4 : 6;
}

// Collects what `convert` makes of the answer's messages; an empty object is left out.
Napi::Value list(Napi::Env env, const char *operation, NetlinkMessage &request,
                 const std::function<void(Napi::Array &, const nlmsghdr *)> &convert) {
    NetlinkSocket socket(NETLINK_ROUTE, operation);
    Napi::Array result = Napi::Array::New(env);
    socket.dump(
        request,
        [&](const nlmsghdr *message) {
            Napi::HandleScope scope(env);
            convert(result, message);
        },
        [&] { result.Set("length", Napi::Number::New(env, 0)); });
    return result;
}

void append(Napi::Array &array, const Napi::Object &object) {
    array.Set(array.Length(), object);
}

void appendAddress(Napi::Array &array, const nlmsghdr *message) {
    auto *header = static_cast<const ifaddrmsg *>(mnl_nlmsg_get_payload(message));
    if (message->nlmsg_type != RTM_NEWADDR ||
        (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)) {
        return;
    }
    Attributes<IFA_MAX + 1> attributes(message, sizeof(*header));
    // IFA_ADDRESS is the peer's on point-to-point devices; IPv6 has IFA_LOCAL only there.
    const nlattr *own =
        attributes.get(IFA_LOCAL) != nullptr ? attributes.get(IFA_LOCAL) : attributes.get(IFA_ADDRESS);
    uint32_t flags = header->ifa_flags; // the low eight bits only
    attributes.read(IFA_FLAGS, flags);
    Napi::Object address = Napi::Object::New(array.Env());
    setNumber(address, "ifindex", header->ifa_index);
    setNumber(address, "family", familyNumber(header->ifa_family));
    setText(address, "address", addressText(header->ifa_family, own));
    setNumber(address, "prefixLength", header->ifa_prefixlen);
    setNumber(address, "scope", header->ifa_scope);
    setNumber(address, "flags", flags);
    setText(address, "label", attributes.text(IFA_LABEL));
    append(array, address);
}

// A gateway, which may be of the other family (RTA_VIA).
void setGateway(Napi::Object &route, int family, const nlattr *gateway, const nlattr *via) {
    if (gateway != nullptr) {
        setText(route, "gateway", addressText(family, gateway));
    } else if (via != nullptr && mnl_attr_get_payload_len(via) > sizeof(uint16_t)) {
        auto *data = static_cast<const uint8_t *>(mnl_attr_get_payload(via));
        uint16_t viaFamily;
        __builtin_memcpy(&viaFamily, data, sizeof(viaFamily));
        size_t size = mnl_attr_get_payload_len(via) - sizeof(viaFamily);
        char text[INET6_ADDRSTRLEN] = "";
        if ((viaFamily == AF_INET && size == 4) || (viaFamily == AF_INET6 && size == 16)) {
            inet_ntop(viaFamily, data + sizeof(viaFamily), text, sizeof(text));
        }
        setText(route, "gateway", text);
    }
}

// The longest prefixes of the routes that are wanted; those with an MTU of their own are in any case.
struct RouteFilter {
    uint32_t longest4;
    uint32_t longest6;
    // What the kernel has made of a route for one destination; a listed one of these is an exception to it.
    bool cloned;
};

void appendRoute(Napi::Array &array, const nlmsghdr *message, const RouteFilter &filter) {
    auto *header = static_cast<const rtmsg *>(mnl_nlmsg_get_payload(message));
    if (message->nlmsg_type != RTM_NEWROUTE ||
        (header->rtm_family != AF_INET && header->rtm_family != AF_INET6) ||
        ((header->rtm_flags & RTM_F_CLONED) != 0 && !filter.cloned)) {
        return;
    }
    Napi::Env env = array.Env();
    const int family = header->rtm_family;
    Attributes<RTA_MAX + 1> attributes(message, sizeof(*header));
    Attributes<RTAX_MAX + 1> metrics(attributes.get(RTA_METRICS));
    if (header->rtm_dst_len > (family == AF_INET ? filter.longest4 : filter.longest6) &&
        metrics.get(RTAX_MTU) == nullptr) {
        return;
    }
    uint32_t table = header->rtm_table; // of those below 256
    attributes.read(RTA_TABLE, table);
    std::string destination = addressText(family, attributes.get(RTA_DST));
    auto base = [&] {
        Napi::Object route = Napi::Object::New(env);
        setNumber(route, "family", familyNumber(family));
        setNumber(route, "table", table);
        setNumber(route, "type", header->rtm_type);
        setNumber(route, "protocol", header->rtm_protocol);
        setNumber(route, "scope", header->rtm_scope);
        setText(route, "destination",
                destination.empty() ? (family == AF_INET ? "0.0.0.0" : "::") : destination);
        setNumber(route, "prefixLength", header->rtm_dst_len);
        setText(route, "prefsrc", addressText(family, attributes.get(RTA_PREFSRC)));
        setNumberIf(route, "priority", attributes, RTA_PRIORITY);
        setNumberIf(route, "mtu", metrics, RTAX_MTU);
        return route;
    };
    const nlattr *multipath = attributes.get(RTA_MULTIPATH);
    if (multipath == nullptr) {
        Napi::Object route = base();
        setGateway(route, family, attributes.get(RTA_GATEWAY), attributes.get(RTA_VIA));
        setNumberIf(route, "oif", attributes, RTA_OIF);
        append(array, route);
        return;
    }
    // struct rtnexthop, each followed by attributes of its own.
    auto *hop = static_cast<const rtnexthop *>(mnl_attr_get_payload(multipath));
    int left = mnl_attr_get_payload_len(multipath);
    while (RTNH_OK(hop, left)) {
        Napi::Object route = base();
        const nlattr *gateway = nullptr, *via = nullptr;
        auto *attribute = reinterpret_cast<const nlattr *>(RTNH_DATA(hop));
        int hopLeft = hop->rtnh_len - static_cast<int>(sizeof(*hop));
        for (; mnl_attr_ok(attribute, hopLeft);
             hopLeft -= MNL_ALIGN(attribute->nla_len), attribute = mnl_attr_next(attribute)) {
            gateway = mnl_attr_get_type(attribute) == RTA_GATEWAY ? attribute : gateway;
            via = mnl_attr_get_type(attribute) == RTA_VIA ? attribute : via;
        }
        setGateway(route, family, gateway, via);
        setNumber(route, "oif", hop->rtnh_ifindex);
        append(array, route);
        left -= RTNH_ALIGN(hop->rtnh_len);
        hop = RTNH_NEXT(hop);
    }
}

void appendNeighbour(Napi::Array &array, const nlmsghdr *message) {
    auto *header = static_cast<const ndmsg *>(mnl_nlmsg_get_payload(message));
    if (message->nlmsg_type != RTM_NEWNEIGH ||
        (header->ndm_family != AF_INET && header->ndm_family != AF_INET6)) {
        return;
    }
    Attributes<NDA_MAX + 1> attributes(message, sizeof(*header));
    Napi::Object neighbour = Napi::Object::New(array.Env());
    setNumber(neighbour, "ifindex", header->ndm_ifindex);
    setNumber(neighbour, "family", familyNumber(header->ndm_family));
    setText(neighbour, "address", addressText(header->ndm_family, attributes.get(NDA_DST)));
    setText(neighbour, "mac", macText(attributes.get(NDA_LLADDR)));
    setNumber(neighbour, "state", header->ndm_state);
    append(array, neighbour);
}

} // namespace

Napi::Object linkObject(Napi::Env env, const nlmsghdr *message) {
    auto *header = static_cast<const ifinfomsg *>(mnl_nlmsg_get_payload(message));
    Attributes<IFLA_MAX + 1> attributes(message, sizeof(*header));
    Attributes<IFLA_INFO_MAX + 1> kind(attributes.get(IFLA_LINKINFO));
    uint32_t mtu = 0;
    attributes.read(IFLA_MTU, mtu);
    Napi::Object link = Napi::Object::New(env);
    setNumber(link, "ifindex", header->ifi_index);
    link.Set("name", Napi::String::New(env, attributes.text(IFLA_IFNAME)));
    setText(link, "kind", kind.text(IFLA_INFO_KIND));
    setNumber(link, "type", header->ifi_type);
    setNumber(link, "flags", header->ifi_flags);
    setNumber(link, "mtu", mtu);
    setText(link, "mac", macText(attributes.get(IFLA_ADDRESS)));
    setNumberIf(link, "master", attributes, IFLA_MASTER);
    setNumberIf(link, "link", attributes, IFLA_LINK);
    int32_t nsid;
    if (attributes.read(IFLA_LINK_NETNSID, nsid) && nsid >= 0) {
        setNumber(link, "linkNetnsid", nsid);
    }
    if (kind.text(IFLA_INFO_SLAVE_KIND) == "bridge") {
        Attributes<bridgePortAttributes> port(kind.get(IFLA_INFO_SLAVE_DATA));
        uint8_t hairpin;
        if (port.read(IFLA_BRPORT_MODE, hairpin)) {
            link.Set("hairpin", Napi::Boolean::New(env, hairpin != 0));
        }
    }
    return link;
}

Napi::Value listLinks(const Napi::CallbackInfo &info) {
    NetlinkMessage request(RTM_GETLINK, 0);
    request.extra<ifinfomsg>()->ifi_family = AF_UNSPEC;
    request.put32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS); // the statistics are most of a dump's bytes
    return list(info.Env(), "list links", request, [](Napi::Array &array, const nlmsghdr *message) {
        if (message->nlmsg_type == RTM_NEWLINK) {
            append(array, linkObject(array.Env(), message));
        }
    });
}

Napi::Value getLinks(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto ifindexes = info[0].As<Napi::Array>();
    const uint32_t count = ifindexes.Length();
    std::vector<NetlinkMessage> requests;
    for (uint32_t index = 0; index < count; index++) {
        NetlinkMessage request(RTM_GETLINK, 0);
        auto *header = request.extra<ifinfomsg>();
        header->ifi_family = AF_UNSPEC;
        header->ifi_index = ifindexes.Get(index).As<Napi::Number>().Int32Value();
        request.put32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        requests.push_back(std::move(request));
    }
    Napi::Array result = Napi::Array::New(env);
    if (count == 0) {
        return result;
    }
    NetlinkSocket socket(NETLINK_ROUTE, "read links");
    std::vector<std::string> details(count);
    std::vector<int> errors = socket.requests(requests, [&](size_t index, const nlmsghdr *message) {
        if (message->nlmsg_type == NLMSG_ERROR) {
            details[index] = extendedAck(message);
        } else if (message->nlmsg_type == RTM_NEWLINK) {
            append(result, linkObject(env, message));
        }
    });
    for (uint32_t index = 0; index < count; index++) {
        if (errors[index] != 0 && errors[index] != ENODEV) {
            throw Failure{errors[index], "read links", "", details[index], ""};
        }
    }
    return result;
}

Napi::Value listAddresses(const Napi::CallbackInfo &info) {
    NetlinkMessage request(RTM_GETADDR, 0);
    request.extra<ifaddrmsg>()->ifa_family = AF_UNSPEC;
    return list(info.Env(), "list addresses", request, appendAddress);
}

Napi::Value listRoutes(const Napi::CallbackInfo &info) {
    NetlinkMessage request(RTM_GETROUTE, 0);
    request.extra<rtmsg>()->rtm_family = AF_UNSPEC;
    const RouteFilter filter = {info[0].As<Napi::Number>().Uint32Value(),
                                info[1].As<Napi::Number>().Uint32Value(), false};
    return list(info.Env(), "list routes", request, [&filter](Napi::Array &array, const nlmsghdr *message) {
        appendRoute(array, message, filter);
    });
}

Napi::Value findRoute(const Napi::CallbackInfo &info) {
    std::string address = info[0].As<Napi::String>();
    in6_addr binary = {};
    const int family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
    if (inet_pton(family, address.c_str(), &binary) != 1) {
        throw Failure{EINVAL, "find route", address, "no address", ""};
    }
    NetlinkMessage request(RTM_GETROUTE, 0);
    auto *header = request.extra<rtmsg>();
    header->rtm_family = static_cast<uint8_t>(family);
    header->rtm_dst_len = family == AF_INET ? 32 : 128;
    request.put(RTA_DST, &binary, family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr));
    Napi::Array found = Napi::Array::New(info.Env());
    const RouteFilter any = {32, 128, true};
    NetlinkSocket(NETLINK_ROUTE, "find route").request(request, address, [&](const nlmsghdr *message) {
        appendRoute(found, message, any);
    });
    return found.Get(0u);
}

Napi::Value listNeighbours(const Napi::CallbackInfo &info) {
    NetlinkMessage request(RTM_GETNEIGH, 0);
    request.extra<ndmsg>()->ndm_family = AF_UNSPEC;
    return list(info.Env(), "list neighbours", request, appendNeighbour);
}

} // namespace fairway
