#include "conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "conntrack_tuple.h"
#include "error.h"
#include "netlink_socket.h"

namespace fairway {

namespace {

// Requests sent together. Their answers, which the kernel charges with some 2 KiB each, wait in the socket's
// receive buffer, of 208 KiB at the least.
constexpr size_t requestsTogether = 64;

// CTA_FILTER_F_CTA_IP_SRC of net/netfilter/nf_conntrack_netlink.c: of the tuple, the source address counts.
constexpr uint32_t filterSource = 1 << 0;

using CtAttributes = Attributes<CTA_MAX + 1>;

NetlinkMessage conntrackMessage(uint16_t type, int family) {
    NetlinkMessage message(static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type), 0);
    auto *header = message.extra<nfgenmsg>();
    header->nfgen_family = static_cast<uint8_t>(family);
    header->version = NFNETLINK_V0;
    return message;
}

bool isEntry(const nlmsghdr *message) {
    return message->nlmsg_type == (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW);
}

// Numbers of ctnetlink are in network order. False where it is missing.
bool read32(const CtAttributes &attributes, uint16_t type, uint32_t &value) {
    if (!attributes.read(type, value)) {
        return false;
    }
    value = ntohl(value);
    return true;
}

// The TCP state of an entry; -1 where it has none.
int tcpState(const CtAttributes &attributes) {
    Attributes<CTA_PROTOINFO_MAX + 1> info(attributes.get(CTA_PROTOINFO));
    Attributes<CTA_PROTOINFO_TCP_MAX + 1> tcp(info.get(CTA_PROTOINFO_TCP));
    uint8_t state;
    return tcp.read(CTA_PROTOINFO_TCP_STATE, state) ? state : -1;
}

Napi::Object entryObject(Napi::Env env, const nlmsghdr *message) {
    auto *header = static_cast<const nfgenmsg *>(mnl_nlmsg_get_payload(message));
    CtAttributes attributes(message, sizeof(*header));
    int family = header->nfgen_family;
    uint32_t status = 0, mark = 0, timeout;
    uint16_t zone;
    read32(attributes, CTA_STATUS, status);
    read32(attributes, CTA_MARK, mark);
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("original", tupleObject(env, parseTuple(family, attributes.get(CTA_TUPLE_ORIG))));
    entry.Set("reply", tupleObject(env, parseTuple(family, attributes.get(CTA_TUPLE_REPLY))));
    entry.Set("status", Napi::Number::New(env, status));
    entry.Set("mark", Napi::Number::New(env, mark));
    if (read32(attributes, CTA_TIMEOUT, timeout)) {
        entry.Set("timeout", Napi::Number::New(env, timeout));
    }
    if (int state = tcpState(attributes); state >= 0) {
        entry.Set("tcpState", Napi::Number::New(env, state));
    }
    if (attributes.read(CTA_ZONE, zone)) {
        entry.Set("zone", Napi::Number::New(env, ntohs(zone)));
    }
    return entry;
}

struct Update {
    ConntrackTuple original;
    int state = -1;
    int onlyFrom = -1;
    bool liberal = false;
};

int smallNumberOr(const Napi::Object &object, const char *name, int otherwise) {
    Napi::Value value = object.Get(name);
    return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : otherwise;
}

Update updateFrom(const char *operation, const Napi::Value &value) {
    auto object = value.As<Napi::Object>();
    Update update;
    update.original = tupleFrom(operation, object.Get("original"));
    update.state = smallNumberOr(object, "state", -1);
    update.onlyFrom = smallNumberOr(object, "onlyFrom", -1);
    update.liberal = object.Get("liberal").ToBoolean();
    return update;
}

NetlinkMessage updateMessage(const Update &update) {
    // Without NLM_F_CREATE it changes an entry or fails with ENOENT.
    NetlinkMessage message = conntrackMessage(IPCTNL_MSG_CT_NEW, update.original.family);
    putTuple(message, CTA_TUPLE_ORIG, update.original);
    NetlinkMessage::Nest info(message, CTA_PROTOINFO);
    NetlinkMessage::Nest tcp(message, CTA_PROTOINFO_TCP);
    if (update.state >= 0) {
        message.put8(CTA_PROTOINFO_TCP_STATE, static_cast<uint8_t>(update.state));
    }
    if (update.liberal) {
        const nf_ct_tcp_flags flags = {IP_CT_TCP_FLAG_BE_LIBERAL, IP_CT_TCP_FLAG_BE_LIBERAL}; // flags, mask
        message.put(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, &flags, sizeof(flags));
        message.put(CTA_PROTOINFO_TCP_FLAGS_REPLY, &flags, sizeof(flags));
    }
    return message;
}

// The present TCP state of each entry; -1 where there is no entry, or none of TCP.
std::vector<int> statesOf(NetlinkSocket &socket, const std::vector<Update> &updates) {
    std::vector<NetlinkMessage> requests;
    for (const Update &update : updates) {
        requests.push_back(conntrackMessage(IPCTNL_MSG_CT_GET, update.original.family));
        putTuple(requests.back(), CTA_TUPLE_ORIG, update.original);
    }
    std::vector<int> states(updates.size(), -1);
    socket.requests(requests, [&](size_t index, const nlmsghdr *message) {
        if (isEntry(message)) {
            states[index] = tcpState(CtAttributes(message, sizeof(nfgenmsg)));
        }
    });
    return states;
}

uint32_t changeTogether(NetlinkSocket &socket, const char *operation, std::vector<Update> updates) {
    if (std::any_of(updates.begin(), updates.end(),
                    [](const Update &update) { return update.onlyFrom >= 0; })) {
        std::vector<int> states = statesOf(socket, updates);
        std::vector<Update> wanted;
        for (size_t index = 0; index < updates.size(); index++) {
            Update update = updates[index];
            if (update.onlyFrom >= 0 && update.onlyFrom != states[index]) {
                update.state = -1;
            }
            // Liberal is for whatever state the connection is in.
            if (states[index] >= 0 && (update.state >= 0 || update.liberal)) {
                wanted.push_back(update);
            }
        }
        updates = std::move(wanted);
    }
    if (updates.empty()) {
        return 0;
    }
    std::vector<NetlinkMessage> requests;
    for (const Update &update : updates) {
        requests.push_back(updateMessage(update));
    }
    std::string detail;
    std::vector<int> errors = socket.requests(requests, [&](size_t, const nlmsghdr *message) {
        if (message->nlmsg_type == NLMSG_ERROR && detail.empty()) {
            detail = extendedAck(message);
        }
    });
    uint32_t changed = 0;
    for (size_t index = 0; index < errors.size(); index++) {
        if (errors[index] != 0 && errors[index] != ENOENT) {
            throw Failure{errors[index], operation, updates[index].original.text(), detail, ""};
        }
        changed += errors[index] == 0;
    }
    return changed;
}

} // namespace

Napi::Value listConntrack(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int family = info[0].As<Napi::Number>().Int32Value() == 4 ? AF_INET : AF_INET6;
    NetlinkMessage request = conntrackMessage(IPCTNL_MSG_CT_GET, family);
    NetlinkSocket socket(NETLINK_NETFILTER, "list conntrack");
    Napi::Array entries = Napi::Array::New(env);
    uint32_t count = 0;
    socket.dump(
        request,
        [&](const nlmsghdr *message) {
            if (isEntry(message)) {
                Napi::HandleScope scope(env);
                entries.Set(count++, entryObject(env, message));
            }
        },
        [&] {
            count = 0;
            entries.Set("length", Napi::Number::New(env, 0));
        });
    return entries;
}

Napi::Value deleteConntrack(const Napi::CallbackInfo &info) {
    const char *operation = "delete conntrack";
    ConntrackTuple tuple = tupleFrom(operation, info[0]);
    NetlinkMessage request = conntrackMessage(IPCTNL_MSG_CT_DELETE, tuple.family);
    putTuple(request, CTA_TUPLE_ORIG, tuple); // a request without a tuple would delete every entry
    NetlinkSocket socket(NETLINK_NETFILTER, operation);
    int error = socket.request(request, tuple.text(), [](const nlmsghdr *) {});
    return Napi::Boolean::New(info.Env(), error == 0);
}

Napi::Value deleteConntrackOf(const Napi::CallbackInfo &info) {
    const char *operation = "delete conntrack";
    int family = info[0].As<Napi::Number>().Int32Value() == 4 ? AF_INET : AF_INET6;
    NetlinkMessage checked(0, 0);
    putSource(operation, checked, CTA_TUPLE_ORIG, family, info[1]);
    // The kernel's filter (6.18's too) takes IPv6 addresses that are equal for different and the other way
    // round: it would delete all but what is meant.
    if (family == AF_INET6) {
        return Napi::Boolean::New(info.Env(), false);
    }
    NetlinkSocket socket(NETLINK_NETFILTER, operation);
    const struct {
        uint16_t tuple, flags;
    } ends[] = {{CTA_TUPLE_ORIG, CTA_FILTER_ORIG_FLAGS}, {CTA_TUPLE_REPLY, CTA_FILTER_REPLY_FLAGS}};
    std::vector<NetlinkMessage> requests;
    for (const auto &end : ends) {
        // A kernel that does not know the filter for this takes the half tuple for a wrong one: EINVAL. One
        // that knows it for the other end only would, without a tuple, delete every entry; so there is one.
        requests.push_back(conntrackMessage(IPCTNL_MSG_CT_DELETE, family));
        putSource(operation, requests.back(), end.tuple, family, info[1]);
        NetlinkMessage::Nest filter(requests.back(), CTA_FILTER);
        requests.back().put32(CTA_FILTER_ORIG_FLAGS, end.flags == CTA_FILTER_ORIG_FLAGS ? filterSource : 0);
        requests.back().put32(CTA_FILTER_REPLY_FLAGS, end.flags == CTA_FILTER_REPLY_FLAGS ? filterSource : 0);
    }
    for (int error : socket.requests(requests, [](size_t, const nlmsghdr *) {})) {
        if (error == EINVAL || error == EOPNOTSUPP) {
            return Napi::Boolean::New(info.Env(), false);
        }
        if (error != 0 && error != ENOENT) {
            throw Failure{error, operation, info[1].As<Napi::String>(), "", ""};
        }
    }
    return Napi::Boolean::New(info.Env(), true);
}

Napi::Value updateConntrackTcp(const Napi::CallbackInfo &info) {
    const char *operation = "update conntrack";
    auto given = info[0].As<Napi::Array>();
    NetlinkSocket socket(NETLINK_NETFILTER, operation);
    std::vector<Update> together;
    uint32_t changed = 0;
    for (uint32_t index = 0; index < given.Length(); index++) {
        Napi::HandleScope scope(info.Env());
        together.push_back(updateFrom(operation, given.Get(index)));
        if (together.size() == requestsTogether) {
            changed += changeTogether(socket, operation, std::move(together));
            together.clear();
        }
    }
    changed += changeTogether(socket, operation, std::move(together));
    return Napi::Number::New(info.Env(), changed);
}

} // namespace fairway
