#pragma once

#include <napi.h>

#include <memory>

#include "handle.h"
#include "netlink_socket.h"
#include "watcher.h"

namespace fairway {

// Notifications of rtnetlink, or of nftables. See NetMonitor in src/native/netlink.ts.
class Monitor : public Guarded<Monitor> {
public:
    static void define(Napi::Env env);
    // Arguments: names of groups, onEvents, onLost.
    explicit Monitor(const Napi::CallbackInfo &info);

private:
    void open(const Napi::CallbackInfo &info);
    void receive(Napi::Env env);
    Napi::Value poll(const Napi::CallbackInfo &info);
    Napi::Value close(const Napi::CallbackInfo &info);

    int bus_ = 0; // NETLINK_ROUTE, NETLINK_NETFILTER
    std::unique_ptr<NetlinkSocket> socket_;
    std::unique_ptr<Watcher> watcher_;
    Napi::FunctionReference onEvents_;
    Napi::FunctionReference onLost_;
    bool lost_ = false;
};

Napi::Value openMonitor(const Napi::CallbackInfo &info);

} // namespace fairway
