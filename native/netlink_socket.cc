#include "netlink_socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "error.h"

namespace fairway {

namespace {

constexpr size_t bufferSize = 64 * 1024; // the kernel makes dump messages of at most 32 KiB
constexpr int dumpTries = 20;
constexpr int receiveBuffer = 1024 * 1024; // beyond net.core.rmem_max only with CAP_NET_ADMIN

} // namespace

std::string extendedAck(const nlmsghdr *error) {
    if ((error->nlmsg_flags & NLM_F_ACK_TLVS) == 0) {
        return "";
    }
    // After the errno comes the request's header, or the whole request where it is not capped; then the
    // attributes.
    size_t skip = sizeof(int);
    if (error->nlmsg_type == NLMSG_ERROR) {
        auto *details = static_cast<const nlmsgerr *>(mnl_nlmsg_get_payload(error));
        bool capped = (error->nlmsg_flags & NLM_F_CAPPED) != 0;
        skip = sizeof(nlmsgerr) + (capped ? 0 : details->msg.nlmsg_len - sizeof(nlmsghdr));
    }
    if (skip > mnl_nlmsg_get_payload_len(error)) {
        return "";
    }
    return Attributes<NLMSGERR_ATTR_MSG + 1>(error, skip).text(NLMSGERR_ATTR_MSG);
}

NetlinkSocket::NetlinkSocket(int bus, std::string operation)
    : socket_(mnl_socket_open2(bus, SOCK_CLOEXEC)), operation_(std::move(operation)), buffer_(bufferSize) {
    if (socket_ == nullptr || mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        fail(errno, "netlink socket");
    }
    setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &receiveBuffer, sizeof(receiveBuffer));
    int on = 1;
    // All three only make answers better; kernels have them since 4.20.
    mnl_socket_setsockopt(socket_.get(), NETLINK_EXT_ACK, &on, sizeof(on));
    mnl_socket_setsockopt(socket_.get(), NETLINK_CAP_ACK, &on, sizeof(on));
    mnl_socket_setsockopt(socket_.get(), NETLINK_GET_STRICT_CHK, &on, sizeof(on));
}

void NetlinkSocket::fail(int error, const std::string &object, const std::string &detail) const {
    throw Failure{error, operation_, object, detail, ""};
}

void NetlinkSocket::send(const void *data, size_t size) {
    while (mnl_socket_sendto(socket_.get(), data, size) < 0) {
        if (errno != EINTR) {
            fail(errno);
        }
    }
}

size_t NetlinkSocket::receive() {
    for (;;) {
        ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
        if (size >= 0) {
            return static_cast<size_t>(size);
        }
        if (errno != EINTR) {
            fail(errno);
        }
    }
}

void NetlinkSocket::dump(NetlinkMessage &request, const Handler &handle, const std::function<void()> &again) {
    request.header()->nlmsg_flags |= NLM_F_DUMP;
    for (int tries = 0; tries < dumpTries; tries++) {
        if (dumpOnce(request, handle)) {
            return;
        }
        again();
    }
    fail(EINTR, "", "it changed each time while it was read");
}

bool NetlinkSocket::dumpOnce(NetlinkMessage &request, const Handler &handle) {
    request.header()->nlmsg_seq = ++sequence_;
    send(request.header(), request.header()->nlmsg_len);
    bool interrupted = false;
    for (;;) {
        int left = static_cast<int>(receive());
        auto *message = reinterpret_cast<const nlmsghdr *>(buffer_.data());
        for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
            if (message->nlmsg_seq != sequence_) {
                continue;
            }
            interrupted = interrupted || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
                // Both begin with a negative errno or 0; an old kernel's NLMSG_DONE may be empty.
                int error = mnl_nlmsg_get_payload_len(message) >= sizeof(int)
                                ? *static_cast<const int *>(mnl_nlmsg_get_payload(message))
                                : 0;
                if (error == -EINTR || error == -EAGAIN) {
                    return false;
                }
                if (error < 0) {
                    fail(-error, "", extendedAck(message));
                }
                return !interrupted;
            }
            if (message->nlmsg_type != NLMSG_NOOP) {
                handle(message);
            }
        }
    }
}

int NetlinkSocket::request(NetlinkMessage &request, const std::string &object, const Handler &handle) {
    std::vector<NetlinkMessage> single;
    single.push_back(std::move(request));
    std::string detail;
    int error = requests(single, [&](size_t, const nlmsghdr *message) {
        if (message->nlmsg_type == NLMSG_ERROR) {
            detail = extendedAck(message);
        } else {
            handle(message);
        }
    })[0];
    if (error != 0 && error != ENOENT) {
        fail(error, object, detail);
    }
    return error;
}

std::vector<int> NetlinkSocket::requests(std::vector<NetlinkMessage> &requests,
                                         const std::function<void(size_t, const nlmsghdr *)> &handle) {
    std::vector<uint8_t> together;
    const uint32_t first = sequence_ + 1;
    for (NetlinkMessage &request : requests) {
        nlmsghdr *header = request.header();
        header->nlmsg_flags |= NLM_F_ACK;
        header->nlmsg_seq = ++sequence_;
        auto *start = reinterpret_cast<const uint8_t *>(header);
        together.insert(together.end(), start, start + header->nlmsg_len); // lengths are multiples of four
    }
    send(together.data(), together.size());
    std::vector<int> errors(requests.size(), 0);
    for (size_t waiting = requests.size(); waiting > 0;) {
        int left = static_cast<int>(receive());
        auto *message = reinterpret_cast<const nlmsghdr *>(buffer_.data());
        for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
            size_t index = message->nlmsg_seq - first;
            if (index >= requests.size()) {
                continue;
            }
            if (message->nlmsg_type == NLMSG_ERROR) {
                errors[index] = -static_cast<const nlmsgerr *>(mnl_nlmsg_get_payload(message))->error;
                waiting--;
            }
            handle(index, message);
        }
    }
    return errors;
}

} // namespace fairway
