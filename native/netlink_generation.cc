#include "netlink_generation.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cerrno>

#include "error.h"
#include "netlink_message.h"
#include "netlink_socket.h"

namespace fairway {

Napi::Value firewallGeneration(const Napi::CallbackInfo &info) {
    constexpr const char *operation = "read the generation of nftables";
    NetlinkMessage request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0);
    request.extra<nfgenmsg>()->version = NFNETLINK_V0;
    NetlinkSocket socket(NETLINK_NETFILTER, operation);
    uint32_t generation = 0;
    bool found = false;
    int error = socket.request(request, "", [&](const nlmsghdr *message) {
        if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN)) {
            Attributes<NFTA_GEN_MAX + 1> attributes(message, sizeof(nfgenmsg));
            found = attributes.read(NFTA_GEN_ID, generation); // network order
        }
    });
    if (error != 0 || !found) {
        throw Failure{error == 0 ? ENODATA : error, operation, "", "", ""};
    }
    return Napi::Number::New(info.Env(), ntohl(generation));
}

} // namespace fairway
