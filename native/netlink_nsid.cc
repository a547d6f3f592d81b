#include "netlink_nsid.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/vfs.h>

#include <cerrno>
#include <string>
#include <vector>

#include "error.h"
#include "fd.h"
#include "netlink_message.h"
#include "netlink_socket.h"

namespace fairway {

namespace {

constexpr char operation[] = "read id of namespace";
constexpr size_t atOnce = 64; // each holds a file descriptor meanwhile

// The namespace file at a path; not open where there is none (yet, or any more).
Fd openNamespace(const std::string &path) {
    Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.open()) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return fd;
        }
        throw Failure{errno, "open namespace", path, "", ""};
    }
    struct statfs filesystem;
    if (fstatfs(fd.get(), &filesystem) < 0) {
        throw Failure{errno, "open namespace", path, "", ""};
    }
    // Else the plain file that a namespace is mounted on, before or after.
    return filesystem.f_type == NSFS_MAGIC ? std::move(fd) : Fd();
}

} // namespace

Napi::Value netnsIds(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto paths = info[0].As<Napi::Array>();
    const uint32_t count = paths.Length();
    Napi::Array result = Napi::Array::New(env, count);
    NetlinkSocket socket(NETLINK_ROUTE, operation);
    for (uint32_t next = 0; next < count;) {
        std::vector<Fd> files;
        std::vector<std::string> names;
        std::vector<uint32_t> places;
        std::vector<NetlinkMessage> requests;
        for (; next < count && files.size() < atOnce; next++) {
            std::string path = paths.Get(next).As<Napi::String>();
            Fd fd = openNamespace(path);
            result.Set(next, env.Undefined());
            if (!fd.open()) {
                continue;
            }
            NetlinkMessage request(RTM_GETNSID, 0);
            request.extra<rtgenmsg>()->rtgen_family = AF_UNSPEC;
            request.put32(NETNSA_FD, static_cast<uint32_t>(fd.get()));
            requests.push_back(std::move(request));
            files.push_back(std::move(fd));
            names.push_back(std::move(path));
            places.push_back(next);
        }
        if (requests.empty()) {
            continue;
        }
        std::vector<std::string> details(requests.size());
        std::vector<int> errors = socket.requests(requests, [&](size_t index, const nlmsghdr *message) {
            int32_t id = NETNSA_NSID_NOT_ASSIGNED;
            if (message->nlmsg_type == NLMSG_ERROR) {
                details[index] = extendedAck(message);
            } else if (message->nlmsg_type == RTM_NEWNSID) {
                Attributes<NETNSA_MAX + 1>(message, sizeof(rtgenmsg)).read(NETNSA_NSID, id);
            }
            if (id >= 0) {
                result.Set(places[index], Napi::Number::New(env, id));
            }
        });
        for (size_t index = 0; index < errors.size(); index++) {
            if (errors[index] != 0 && errors[index] != ENOENT) {
                throw Failure{errors[index], operation, names[index], details[index], ""};
            }
        }
    }
    return result;
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
