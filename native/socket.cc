#include "socket.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "arguments.h"
#include "error.h"
#include "fd.h"

// asm-generic/socket.h and linux/pidfd.h, for C libraries that are older.
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

namespace fairway {

namespace {

template <typename T> bool socketOption(int fd, int option, T &value) {
    socklen_t length = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0;
}

// Gone, or not for us to see: of others' processes nothing else is to be expected.
bool isOthers(int error) {
    return error == ESRCH || error == ENOENT || error == EPERM || error == EACCES || error == EBADF ||
           error == EINVAL;
}

// The process's own descriptor of the UDP socket with that cookie, duplicated; none where it has none.
Fd socketOf(pid_t pid, uint64_t cookie) {
    Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!process.open()) {
        if (isOthers(errno)) {
            return Fd();
        }
        throw Failure{errno, "open process", std::to_string(pid), "", ""};
    }
    std::string path = "/proc/" + std::to_string(pid) + "/fd";
    std::unique_ptr<DIR, int (*)(DIR *)> directory(opendir(path.c_str()), closedir);
    if (directory == nullptr) {
        if (isOthers(errno)) {
            return Fd();
        }
        throw Failure{errno, "list descriptors", path, "", ""};
    }
    while (const dirent *entry = readdir(directory.get())) {
        char target[32] = "";
        std::string link = path + "/" + entry->d_name;
        if (readlink(link.c_str(), target, sizeof(target) - 1) < 0 || strncmp(target, "socket:", 7) != 0) {
            continue;
        }
        Fd socket(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), atoi(entry->d_name), 0)));
        int protocol = 0;
        uint64_t own = 0;
        if (socket.open() && socketOption(socket.get(), SO_PROTOCOL, protocol) && protocol == IPPROTO_UDP &&
            socketOption(socket.get(), SO_COOKIE, own) && own == cookie) {
            return socket;
        }
    }
    return Fd();
}

} // namespace

Napi::Value netnsCookie(const Napi::CallbackInfo &info) {
    Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    uint64_t cookie = 0;
    if (!fd.open() || !socketOption(fd.get(), SO_NETNS_COOKIE, cookie)) {
        throw Failure{errno, "read cookie of namespace", "", "", ""};
    }
    return Napi::BigInt::New(info.Env(), cookie);
}

Napi::Value redialUdp(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    pid_t pid = info[0].As<Napi::Number>().Int32Value();
    bool lossless = true;
    uint64_t cookie = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
    Bytes address = bytes(info[2]);
    uint16_t port = htons(static_cast<uint16_t>(info[3].As<Napi::Number>().Uint32Value()));
    checkSize("dial again", "socket", "address", address.size, sizeof(in6_addr));

    Fd socket = socketOf(pid, cookie);
    if (!socket.open()) {
        return Napi::Boolean::New(env, false);
    }
    sockaddr_in6 ipv6 = {};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = port;
    memcpy(&ipv6.sin6_addr, address.data, sizeof(in6_addr));
    sockaddr_in ipv4 = {};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = port;
    memcpy(&ipv4.sin_addr, address.data + sizeof(in6_addr) - sizeof(in_addr), sizeof(in_addr));
    sockaddr nobody = {};
    nobody.sa_family = AF_UNSPEC;

    int family = AF_INET6;
    socketOption(socket.get(), SO_DOMAIN, family);
    const auto *to =
        family == AF_INET ? reinterpret_cast<sockaddr *>(&ipv4) : reinterpret_cast<sockaddr *>(&ipv6);
    socklen_t length = family == AF_INET ? sizeof(ipv4) : sizeof(ipv6);
    // To nobody first: the socket's own address is of the network that it was led to.
    if (connect(socket.get(), &nobody, sizeof(nobody)) < 0 || connect(socket.get(), to, length) < 0) {
        throw Failure{errno, "dial again", "socket of process " + std::to_string(pid), "", ""};
    }
    return Napi::Boolean::New(env, true);
}

} // namespace fairway
