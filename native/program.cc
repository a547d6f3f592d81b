#include "program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <climits>
#include <cstdio>
#include <memory>
#include <vector>

#include "arguments.h"
#include "clsact.h"
#include "link.h"

namespace fairway {

namespace {

bpf_prog_info readInfo(int fd, const char *operation, const std::string &object) {
    bpf_prog_info info = {};
    uint32_t length = sizeof(info);
    check(bpf_prog_get_info_by_fd(fd, &info, &length), operation, object);
    return info;
}

// "at eth0 (ifindex 2)", for messages.
std::string atDevice(uint32_t ifindex) {
    char name[IF_NAMESIZE] = "";
    if_indextoname(ifindex, name);
    return (name[0] == '\0' ? "at ifindex " : "at " + std::string(name) + ", ifindex ") +
           std::to_string(ifindex);
}

bpf_attach_type cgroupAttachType(const std::string &name, const std::string &object) {
    for (uint32_t type = 0; type < __MAX_BPF_ATTACH_TYPE; type++) {
        const char *known = libbpf_bpf_attach_type_str(static_cast<bpf_attach_type>(type));
        if (known != nullptr && (name == known || "cgroup_" + name == known)) {
            return static_cast<bpf_attach_type>(type);
        }
    }
    throw Failure{EINVAL, "attach cgroup", object, "no such attach type: " + name, ""};
}

} // namespace

void Program::define(Napi::Env env) {
    Napi::Function function = DefineClass(env, "ProgramHandle",
                                          {
                                              Guarded::define<&Program::info>("info"),
                                              Guarded::define<&Program::testRun>("testRun"),
                                              Guarded::define<&Program::run>("run"),
                                              Guarded::define<&Program::attachTcx>("attachTcx"),
                                              Guarded::define<&Program::attachXdp>("attachXdp"),
                                              Guarded::define<&Program::attachClsact>("attachClsact"),
                                              Guarded::define<&Program::attachCgroup>("attachCgroup"),
                                              Guarded::define<&Program::pin>("pin"),
                                              Guarded::define<&Program::close>("close"),
                                          });
    addonData(env).program = Napi::Persistent(function);
}

void Program::opened() {
    name_ = readInfo(fd("open program"), "open program", name_).name;
}

Napi::Value Program::info(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    bpf_prog_info program = readInfo(fd("read info"), "read info of program", name_);
    const char *type = libbpf_bpf_prog_type_str(static_cast<bpf_prog_type>(program.type));
    char tag[2 * BPF_TAG_SIZE + 1];
    for (int index = 0; index < BPF_TAG_SIZE; index++) {
        snprintf(tag + 2 * index, 3, "%02x", program.tag[index]);
    }
    Napi::Object result = Napi::Object::New(env);
    result["id"] = Napi::Number::New(env, program.id);
    result["name"] = Napi::String::New(env, program.name);
    result["type"] = Napi::String::New(env, type == nullptr ? std::to_string(program.type) : type);
    result["tag"] = Napi::String::New(env, tag);
    result["instructions"] = Napi::Number::New(env, program.xlated_prog_len / sizeof(bpf_insn));
    result["verifiedInstructions"] = Napi::Number::New(env, program.verified_insns);
    result["jitedBytes"] = Napi::Number::New(env, program.jited_prog_len);
    result["runCount"] = Napi::Number::New(env, static_cast<double>(program.run_cnt));
    result["runTimeNs"] = Napi::Number::New(env, static_cast<double>(program.run_time_ns));
    return result;
}

Napi::Value Program::testRun(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int descriptor = fd("test run");
    auto given = info[0].As<Napi::Object>();
    LIBBPF_OPTS(bpf_test_run_opts, options);
    std::unique_ptr<uint8_t[]> dataOut, contextOut;
    if (Napi::Value data = given.Get("data"); !data.IsUndefined()) {
        Bytes in = bytes(data);
        options.data_in = in.data;
        options.data_size_in = static_cast<uint32_t>(in.size);
        options.data_size_out = numberOr(given, "dataOutSize", options.data_size_in + 4096);
        if (options.data_size_out != 0) {
            dataOut.reset(new uint8_t[options.data_size_out + 1]);
            options.data_out = dataOut.get();
        }
    }
    if (Napi::Value context = given.Get("context"); !context.IsUndefined()) {
        Bytes in = bytes(context);
        options.ctx_in = in.data;
        options.ctx_size_in = static_cast<uint32_t>(in.size);
        options.ctx_size_out = options.ctx_size_in;
        contextOut.reset(new uint8_t[in.size + 1]);
        options.ctx_out = contextOut.get();
    }
    options.repeat = static_cast<int>(numberOr(given, "repeat", 1));
    if (Napi::Value live = given.Get("live"); live.ToBoolean()) {
        options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
        options.batch_size = numberOr(given, "batchSize", 0);
    }
    if (given.Get("checksumComplete").ToBoolean())
        options.flags |= BPF_F_TEST_SKB_CHECKSUM_COMPLETE;
    const uint32_t room = options.data_size_out;
    int error = bpf_prog_test_run_opts(descriptor, &options);
    std::string detail;
    if (dataOut != nullptr && options.data_size_out > room) {
        detail = "the packet grew to " + std::to_string(options.data_size_out) +
                 " bytes, there was room for " + std::to_string(room);
    }
    check(error, "test run", name_, detail);
    Napi::Object result = Napi::Object::New(env);
    result["returnValue"] = Napi::Number::New(env, options.retval);
    result["data"] = copied(env, dataOut.get(), dataOut == nullptr ? 0 : options.data_size_out);
    result["context"] = copied(env, contextOut.get(), options.ctx_size_out);
    result["durationNs"] = Napi::Number::New(env, options.duration);
    return result;
}

Napi::Value Program::run(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Bytes given = bytes(info[0]);
    // The kernel writes the context back where it was read from, and wants no other option.
    std::vector<uint8_t> context(given.data, given.data + given.size);
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = context.data(),
                .ctx_size_in = static_cast<uint32_t>(context.size()));
    check(bpf_prog_test_run_opts(fd("run"), &options), "run", name_);
    Napi::Object result = Napi::Object::New(env);
    result["returnValue"] = Napi::Number::New(env, options.retval);
    result["context"] = copied(env, context.data(), context.size());
    return result;
}

Napi::Value Program::attachTcx(const Napi::CallbackInfo &info) {
    uint32_t ifindex = info[0].As<Napi::Number>().Uint32Value();
    bool egress = info[1].As<Napi::Number>().Uint32Value() == 1;
    bool before = info[2].As<Napi::Boolean>();
    uint32_t relative = info[3].As<Napi::Number>().Uint32Value();
    // Without a relative program, before means before all and after means after all. libbpf adds BPF_F_ID for
    // an id.
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = before ? BPF_F_BEFORE : BPF_F_AFTER);
    options.tcx.relative_id = relative;
    int link = bpf_link_create(fd("attach tcx"), static_cast<int>(ifindex),
                               egress ? BPF_TCX_EGRESS : BPF_TCX_INGRESS, &options);
    std::string where = atDevice(ifindex) + (egress ? ", egress" : ", ingress");
    if (relative != 0) {
        where += (before ? ", before program " : ", after program ") + std::to_string(relative);
    }
    check(link, "attach tcx", name_, where);
    return Link::make(info.Env(), Fd(link));
}

Napi::Value Program::attachXdp(const Napi::CallbackInfo &info) {
    uint32_t ifindex = info[0].As<Napi::Number>().Uint32Value();
    bool generic = info[1].As<Napi::Boolean>();
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
    int link = bpf_link_create(fd("attach xdp"), static_cast<int>(ifindex), BPF_XDP, &options);
    check(link, "attach xdp", name_, atDevice(ifindex) + (generic ? ", generic" : ", native"));
    return Link::make(info.Env(), Fd(link));
}

Napi::Value Program::attachClsact(const Napi::CallbackInfo &info) {
    ClsactFilter filter = clsactFilter(info);
    bool made = attachFilter(filter, fd("attach clsact"), name_, atDevice(filter.ifindex));
    return Napi::Boolean::New(info.Env(), made);
}

Napi::Value Program::attachCgroup(const Napi::CallbackInfo &info) {
    std::string path = info[0].As<Napi::String>();
    bpf_attach_type type = cgroupAttachType(info[1].As<Napi::String>(), name_);
    Fd cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    check(cgroup.open() ? 0 : -errno, "attach cgroup", name_, path);
    int link = bpf_link_create(fd("attach cgroup"), cgroup.get(), type, nullptr);
    check(link, "attach cgroup", name_, path);
    return Link::make(info.Env(), Fd(link));
}

Napi::Value openPinnedProgram(const Napi::CallbackInfo &info) {
    std::string path = info[0].As<Napi::String>();
    Fd fd = openPinned("open pinned program", path, "prog");
    return Program::make(info.Env(), std::move(fd));
}

Napi::Value openProgramById(const Napi::CallbackInfo &info) {
    uint32_t id = info[0].As<Napi::Number>().Uint32Value();
    Fd fd(check(bpf_prog_get_fd_by_id(id), "open program", "with id " + std::to_string(id)));
    return Program::make(info.Env(), std::move(fd));
}

Napi::Value tcxPrograms(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    uint32_t ifindex = info[0].As<Napi::Number>().Uint32Value();
    bool egress = info[1].As<Napi::Number>().Uint32Value() == 1;
    std::vector<uint32_t> ids(64); // the kernel's BPF_MPROG_MAX
    LIBBPF_OPTS(bpf_prog_query_opts, options, .prog_ids = ids.data(),
                .prog_cnt = static_cast<uint32_t>(ids.size()));
    int error =
        bpf_prog_query_opts(static_cast<int>(ifindex), egress ? BPF_TCX_EGRESS : BPF_TCX_INGRESS, &options);
    // ENOENT: none was ever attached there.
    if (error != -ENOENT) {
        check(error, "list tcx programs", atDevice(ifindex));
    }
    Napi::Array result = Napi::Array::New(env);
    for (uint32_t index = 0; error == 0 && index < options.prog_cnt; index++) {
        result.Set(index, Napi::Number::New(env, ids[index]));
    }
    return result;
}

Napi::Value supportsTcx(const Napi::CallbackInfo &info) {
    // Asks for the programs of a device that cannot be: a kernel with TCX looks for the device first
    // (ENODEV), one without it does not know the hook (EINVAL).
    LIBBPF_OPTS(bpf_prog_query_opts, options);
    int error = bpf_prog_query_opts(INT_MAX, BPF_TCX_INGRESS, &options);
    if (error != -EINVAL && error != -ENODEV) {
        check(error, "probe", "tcx");
    }
    return Napi::Boolean::New(info.Env(), error == -ENODEV);
}

} // namespace fairway
