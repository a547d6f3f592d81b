#include "netlink_monitor.h"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <vector>

#include "error.h"
#include "netlink_list.h"

namespace fairway {

namespace {

constexpr const char *operation = "monitor network";
// What one turn of the event loop reads at most.
constexpr int datagramsPerTurn = 256;
// Room for some ten thousand notifications while JavaScript is busy.
constexpr int receiveBuffer = 8 * 1024 * 1024;

int busOf(const std::string &kind) {
    return kind == "firewall" ? NETLINK_NETFILTER : NETLINK_ROUTE;
}

std::vector<int> groupsOf(const std::string &kind) {
    if (kind == "link") {
        return {RTNLGRP_LINK};
    }
    if (kind == "address") {
        return {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR};
    }
    if (kind == "route") {
        return {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};
    }
    if (kind == "neighbour") {
        return {RTNLGRP_NEIGH};
    }
    if (kind == "rule") {
        return {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE};
    }
    if (kind == "firewall") {
        return {NFNLGRP_NFTABLES};
    }
    throw Failure{EINVAL, operation, kind, "no such group", ""};
}

Napi::Object event(Napi::Env env, const char *kind, bool added, int64_t ifindex) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("kind", kind);
    result.Set("action", added ? "new" : "del");
    if (ifindex > 0) {
        result.Set("ifindex", Napi::Number::New(env, static_cast<double>(ifindex)));
    }
    return result;
}

// Every transaction of nftables ends with its generation's number; what it consists of comes before.
void appendFirewall(Napi::Array &events, const nlmsghdr *message) {
    if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN)) {
        events.Set(events.Length(), event(events.Env(), "firewall", true, 0));
    }
}

// Appends what a message of rtnetlink tells, where it tells something.
void append(Napi::Array &events, const nlmsghdr *message) {
    Napi::Env env = events.Env();
    const void *payload = mnl_nlmsg_get_payload(message);
    const uint16_t type = message->nlmsg_type;
    Napi::Object result;
    switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
        auto *header = static_cast<const ifinfomsg *>(payload);
        // The same messages with a family tell of a bridge's ports: a DELLINK of those removes no device.
        if (header->ifi_family != AF_UNSPEC) {
            return;
        }
        result = event(env, "link", type == RTM_NEWLINK, header->ifi_index);
        result.Set("link", linkObject(env, message));
        break;
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
        result =
            event(env, "address", type == RTM_NEWADDR, static_cast<const ifaddrmsg *>(payload)->ifa_index);
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
        uint32_t device = 0;
        Attributes<RTA_MAX + 1>(message, sizeof(rtmsg)).read(RTA_OIF, device);
        result = event(env, "route", type == RTM_NEWROUTE, device);
        result.Set("prefixLength", Napi::Number::New(env, static_cast<const rtmsg *>(payload)->rtm_dst_len));
        break;
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
        result =
            event(env, "neighbour", type == RTM_NEWNEIGH, static_cast<const ndmsg *>(payload)->ndm_ifindex);
        break;
    case RTM_NEWRULE:
    case RTM_DELRULE:
        result = event(env, "rule", type == RTM_NEWRULE, 0);
        break;
    default:
        return;
    }
    events.Set(events.Length(), result);
}

} // namespace

void Monitor::define(Napi::Env env) {
    Napi::Function function =
        DefineClass(env, "MonitorHandle",
                    {Guarded::define<&Monitor::poll>("poll"), Guarded::define<&Monitor::close>("close")});
    addonData(env).monitor = Napi::Persistent(function);
}

Monitor::Monitor(const Napi::CallbackInfo &info) : Guarded<Monitor>(info) {
    try {
        open(info);
    } catch (const Failure &failure) {
        throw toError(info.Env(), failure);
    }
}

void Monitor::open(const Napi::CallbackInfo &info) {
    auto kinds = info[0].As<Napi::Array>();
    onEvents_ = Napi::Persistent(info[1].As<Napi::Function>());
    onLost_ = Napi::Persistent(info[2].As<Napi::Function>());
    const uint32_t count = kinds.Length();
    bus_ = count > 0 ? busOf(kinds.Get(0u).As<Napi::String>()) : NETLINK_ROUTE;
    socket_ = std::make_unique<NetlinkSocket>(bus_, operation);
    // FORCE goes beyond net.core.rmem_max and needs CAP_NET_ADMIN; without it the smaller buffer loses more.
    setsockopt(socket_->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &receiveBuffer, sizeof(receiveBuffer));
    for (uint32_t index = 0; index < count; index++) {
        std::string kind = kinds.Get(index).As<Napi::String>();
        if (busOf(kind) != bus_) {
            throw Failure{EINVAL, operation, kind, "can't be combined with other groups", ""};
        }
        for (int group : groupsOf(kind)) {
            if (setsockopt(socket_->fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
                throw Failure{errno, operation, kind, "", ""};
            }
        }
    }
    watcher_ = std::make_unique<Watcher>(info.Env(), socket_->fd(), "fairway network monitor",
                                         [this](Napi::Env env) { receive(env); });
    Ref(); // while it is open nobody needs to hold it
}

void Monitor::receive(Napi::Env env) {
    Napi::HandleScope scope(env);
    Napi::Array events = Napi::Array::New(env);
    std::vector<uint8_t> buffer(64 * 1024);
    bool drained = false;
    for (int count = 0; count < datagramsPerTurn; count++) {
        ssize_t size = recv(socket_->fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0) {
            if (errno == ENOBUFS) {
                lost_ = true;
                continue;
            }
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                drained = true;
                break;
            }
            throw Failure{errno, operation, "", "", ""};
        }
        int left = static_cast<int>(size);
        auto *message = reinterpret_cast<const nlmsghdr *>(buffer.data());
        for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
            if (bus_ == NETLINK_NETFILTER) {
                appendFirewall(events, message);
            } else {
                append(events, message);
            }
        }
    }
    if (events.Length() > 0) {
        notify(env, onEvents_, {events});
    }
    // Once it has dropped one, the kernel drops all, and doesn't say so again, until everything was read:
    // only then does a list taken anew miss nothing.
    if (lost_ && drained && !watcher_->stopped()) {
        lost_ = false;
        notify(env, onLost_, {});
    }
}

Napi::Value Monitor::poll(const Napi::CallbackInfo &info) {
    if (!watcher_->stopped()) {
        receive(info.Env());
    }
    return info.Env().Undefined();
}

Napi::Value Monitor::close(const Napi::CallbackInfo &info) {
    if (!watcher_->stopped()) {
        watcher_->stop();
        socket_.reset();
        Unref();
    }
    return info.Env().Undefined();
}

Napi::Value openMonitor(const Napi::CallbackInfo &info) {
    return addonData(info.Env()).monitor.New({info[0], info[1], info[2]});
}

} // namespace fairway
