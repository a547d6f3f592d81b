#include "handle.h"

#include <unistd.h>

namespace fairway {

namespace {

// "anon_inode:bpf-map", "anon_inode:bpf-prog", "anon_inode:bpf_link"; empty where /proc is missing. Asking
// for a map's information doesn't tell: the kernel gladly gives a program's.
std::string kindOf(int fd) {
    char target[64];
    std::string link = "/proc/self/fd/" + std::to_string(fd);
    ssize_t length = readlink(link.c_str(), target, sizeof(target));
    return length < 0 ? "" : std::string(target, static_cast<size_t>(length));
}

} // namespace

Fd openPinned(const char *operation, const std::string &path, const std::string &kind) {
    Fd fd(check(bpf_obj_get(path.c_str()), operation, path));
    std::string actual = kindOf(fd.get());
    if (!actual.empty() && actual.find(kind) == std::string::npos) {
        throw Failure{EINVAL, operation, path, "another kind of object is pinned there", ""};
    }
    return fd;
}

} // namespace fairway
