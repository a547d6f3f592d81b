#include "netlink_nsid.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/vfs.h>

#include <cerrno>

#include "error.h"
#include "fd.h"
#include "netlink_message.h"
#include "netlink_socket.h"

namespace fairway {

Napi::Value netnsId(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    std::string path = info[0].As<Napi::String>();
    Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.open()) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return env.Undefined();
        }
        throw Failure{errno, "open namespace", path, "", ""};
    }
    struct statfs filesystem;
    if (fstatfs(fd.get(), &filesystem) < 0) {
        throw Failure{errno, "open namespace", path, "", ""};
    }
    if (filesystem.f_type != NSFS_MAGIC) {
        return env.Undefined(); // the plain file that a namespace is mounted on, before or after
    }
    NetlinkMessage request(RTM_GETNSID, 0);
    request.extra<rtgenmsg>()->rtgen_family = AF_UNSPEC;
    request.put32(NETNSA_FD, static_cast<uint32_t>(fd.get()));
    NetlinkSocket socket(NETLINK_ROUTE, "read id of namespace");
    int32_t id = NETNSA_NSID_NOT_ASSIGNED;
    socket.request(request, path, [&](const nlmsghdr *message) {
        if (message->nlmsg_type == RTM_NEWNSID) {
            Attributes<NETNSA_MAX + 1>(message, sizeof(rtgenmsg)).read(NETNSA_NSID, id);
        }
    });
    return id < 0 ? env.Undefined() : Napi::Number::New(env, id);
}

Napi::Value enterNetworkNamespace(const Napi::CallbackInfo &info) {
    std::string path = info[0].As<Napi::String>();
    Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.open() || setns(fd.get(), CLONE_NEWNET) < 0) {
        throw Failure{errno, "enter namespace", path, "", ""};
    }
    return info.Env().Undefined();
}

} // namespace fairway
