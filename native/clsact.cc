#include "clsact.h"

#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "error.h"
#include "libbpf_log.h"
#include "netlink_message.h"
#include "netlink_socket.h"

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

bool attachFilter(const ClsactFilter &filter, int program, const std::string &name,
                  const std::string &where) {
    LogCapture log; // "Exclusivity flag on, cannot modify" and the like
    bpf_tc_hook hook = hookOf(filter);
    int error = bpf_tc_hook_create(&hook);
    const bool made = error == 0;
    if (error != -EEXIST) {
        check(error, "make clsact qdisc for", name, where);
    }
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE, .handle = filter.handle,
                .priority = filter.priority);
    error = bpf_tc_attach(&hook, &options);
    if (error < 0) {
        throw Failure{-error, "attach clsact", name, where, log.trimmed()};
    }
    return made;
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

Napi::Value clsactFilters(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    NetlinkMessage request(RTM_GETTFILTER, 0);
    auto *asked = request.extra<tcmsg>();
    asked->tcm_family = AF_UNSPEC;
    asked->tcm_ifindex = info[0].As<Napi::Number>().Int32Value();
    const bool egress = info[1].As<Napi::Number>().Uint32Value() == 1;
    asked->tcm_parent = TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
    NetlinkSocket socket(NETLINK_ROUTE, "list clsact filters");
    Napi::Array result = Napi::Array::New(env);
    auto take = [&](const nlmsghdr *message) {
        auto *header = static_cast<const tcmsg *>(mnl_nlmsg_get_payload(message));
        // Handle 0 is the place of a priority's filters, not one of them.
        if (message->nlmsg_type != RTM_NEWTFILTER || header->tcm_handle == 0) {
            return;
        }
        Napi::HandleScope scope(env);
        Attributes<TCA_MAX + 1> attributes(message, sizeof(*header));
        Napi::Object filter = Napi::Object::New(env);
        filter.Set("kind", Napi::String::New(env, attributes.text(TCA_KIND)));
        filter.Set("priority", Napi::Number::New(env, TC_H_MAJ(header->tcm_info) >> 16));
        filter.Set("handle", Napi::Number::New(env, header->tcm_handle));
        uint32_t program;
        if (attributes.text(TCA_KIND) == "bpf" &&
            Attributes<TCA_BPF_MAX + 1>(attributes.get(TCA_OPTIONS)).read(TCA_BPF_ID, program)) {
            filter.Set("programId", Napi::Number::New(env, program));
        }
        result.Set(result.Length(), filter);
    };
    socket.dump(request, take, [&] { result.Set("length", Napi::Number::New(env, 0)); });
    return result;
}

Napi::Value removeClsact(const Napi::CallbackInfo &info) {
    uint32_t ifindex = info[0].As<Napi::Number>().Uint32Value();
    LogCapture log;
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(ifindex),
                .attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
    int error = bpf_tc_hook_destroy(&hook);
    // ENODEV: no such device; ENOENT, EINVAL: no clsact qdisc there.
    if (error != -ENODEV && error != -ENOENT && error != -EINVAL) {
        check(error, "remove clsact qdisc", "at ifindex " + std::to_string(ifindex));
    }
    return Napi::Boolean::New(info.Env(), error == 0);
}

} // namespace fairway
