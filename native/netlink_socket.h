#pragma once

#include <libmnl/libmnl.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "netlink_message.h"

namespace fairway {

// A netlink socket of the network namespace that the calling thread is in, open as long as this lives.
// Failures carry the given operation and, where the kernel has sent one, its extended acknowledgement's text.
class NetlinkSocket {
public:
    using Handler = std::function<void(const nlmsghdr *)>;

    // bus: NETLINK_ROUTE, NETLINK_NETFILTER.
    NetlinkSocket(int bus, std::string operation);

    int fd() const { return mnl_socket_get_fd(socket_.get()); }

    // Sends a dump request and hands over every message of the answer. `again` is called before the dump is
    // repeated because the kernel said that what it lists has changed meanwhile; what was handed over is void
    // then.
    void dump(NetlinkMessage &request, const Handler &handle, const std::function<void()> &again);

    // Sends one request, hands over what is answered, returns 0 or a positive errno.
    int request(NetlinkMessage &request, const std::string &object, const Handler &handle);

    // Sends requests together; each has NLM_F_ACK added. handle gets the answers with the index of the
    // request. Returns 0 or a positive errno for each. To be called with not too many at once: their answers
    // wait in the socket's receive buffer.
    std::vector<int> requests(std::vector<NetlinkMessage> &requests,
                              const std::function<void(size_t, const nlmsghdr *)> &handle);

private:
    struct Close {
        void operator()(mnl_socket *socket) const { mnl_socket_close(socket); }
    };

    [[noreturn]] void fail(int error, const std::string &object = "", const std::string &detail = "") const;
    void send(const void *data, size_t size);
    // False when the dump is to be repeated.
    bool dumpOnce(NetlinkMessage &request, const Handler &handle);
    // The messages of one datagram.
    size_t receive();

    std::unique_ptr<mnl_socket, Close> socket_;
    std::string operation_;
    std::vector<uint8_t> buffer_;
    uint32_t sequence_ = 0;
};

// The text of an error message's extended acknowledgement; empty where there is none.
std::string extendedAck(const nlmsghdr *error);

} // namespace fairway
