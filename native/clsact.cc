#include "clsact.h"

#include <bpf/libbpf.h>

#include <cerrno>

#include "error.h"
#include "libbpf_log.h"

namespace fairway {

namespace {

bpf_tc_hook hookOf(const ClsactFilter &filter) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(filter.ifindex),
                .attach_point = filter.egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
    return hook;
}

} // namespace

ClsactFilter clsactFilter(const Napi::CallbackInfo &info) {
    return {info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::Number>().Uint32Value() == 1,
            info[2].As<Napi::Number>().Uint32Value(), info[3].As<Napi::Number>().Uint32Value()};
}

void attachFilter(const ClsactFilter &filter, int program, const std::string &name,
                  const std::string &where) {
    LogCapture log; // "Exclusivity flag on, cannot modify" and the like
    bpf_tc_hook hook = hookOf(filter);
    int error = bpf_tc_hook_create(&hook);
    if (error != -EEXIST) {
        check(error, "make clsact qdisc for", name, where);
    }
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE, .handle = filter.handle,
                .priority = filter.priority);
    error = bpf_tc_attach(&hook, &options);
    if (error < 0) {
        throw Failure{-error, "attach clsact", name, where, log.trimmed()};
    }
}

Napi::Value detachClsact(const Napi::CallbackInfo &info) {
    ClsactFilter filter = clsactFilter(info);
    LogCapture log;
    bpf_tc_hook hook = hookOf(filter);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = filter.handle, .priority = filter.priority);
    int error = bpf_tc_detach(&hook, &options);
    // ENOENT: no such filter; ENODEV: no such device; EINVAL: no clsact qdisc there (or bad numbers).
    if (error != -ENOENT && error != -ENODEV && error != -EINVAL) {
        check(error, "detach clsact", "at ifindex " + std::to_string(filter.ifindex));
    }
    return Napi::Boolean::New(info.Env(), error == 0);
}

} // namespace fairway
