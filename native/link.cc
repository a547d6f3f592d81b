#include "link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "program.h"

namespace fairway {

namespace {

bpf_link_info readInfo(int fd, const char *operation, const std::string &object) {
    bpf_link_info info = {};
    uint32_t length = sizeof(info);
    check(bpf_link_get_info_by_fd(fd, &info, &length), operation, object);
    return info;
}

void setAttachType(Napi::Object &result, uint32_t type) {
    const char *name = libbpf_bpf_attach_type_str(static_cast<bpf_attach_type>(type));
    if (name != nullptr) {
        result["attachType"] = Napi::String::New(result.Env(), name);
    }
}

} // namespace

void Link::define(Napi::Env env) {
    Napi::Function function = DefineClass(env, "LinkHandle",
                                          {
                                              Guarded::define<&Link::info>("info"),
                                              Guarded::define<&Link::update>("update"),
                                              Guarded::define<&Link::detach>("detach"),
                                              Guarded::define<&Link::pin>("pin"),
                                              Guarded::define<&Link::close>("close"),
                                          });
    addonData(env).link = Napi::Persistent(function);
}

void Link::opened() {
    name_ = std::to_string(readInfo(fd("open link"), "open link", name_).id);
}

Napi::Value Link::info(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    bpf_link_info link = readInfo(fd("read info"), "read info of link", name_);
    const char *type = libbpf_bpf_link_type_str(static_cast<bpf_link_type>(link.type));
    Napi::Object result = Napi::Object::New(env);
    result["id"] = Napi::Number::New(env, link.id);
    result["type"] = Napi::String::New(env, type == nullptr ? std::to_string(link.type) : type);
    result["programId"] = Napi::Number::New(env, link.prog_id);
    switch (link.type) {
    case BPF_LINK_TYPE_TCX:
        result["ifindex"] = Napi::Number::New(env, link.tcx.ifindex);
        setAttachType(result, link.tcx.attach_type);
        break;
    case BPF_LINK_TYPE_XDP:
        result["ifindex"] = Napi::Number::New(env, link.xdp.ifindex);
        break;
    case BPF_LINK_TYPE_NETKIT:
        result["ifindex"] = Napi::Number::New(env, link.netkit.ifindex);
        setAttachType(result, link.netkit.attach_type);
        break;
    case BPF_LINK_TYPE_CGROUP:
        setAttachType(result, link.cgroup.attach_type);
        break;
    default:
        break;
    }
    return result;
}

Napi::Value Link::update(const Napi::CallbackInfo &info) {
    Program &program = Program::from(info[0]);
    check(bpf_link_update(fd("update link"), program.fd("update link"), nullptr), "update link", name_,
          "to program " + program.name());
    return info.Env().Undefined();
}

Napi::Value Link::detach(const Napi::CallbackInfo &info) {
    check(bpf_link_detach(fd("detach link")), "detach link", name_);
    return info.Env().Undefined();
}

Napi::Value linkDevices(const Napi::CallbackInfo &info) {
    auto links = info[0].As<Napi::Array>();
    Napi::Array result = Napi::Array::New(info.Env(), links.Length());
    for (uint32_t index = 0; index < links.Length(); index++) {
        Napi::HandleScope scope(info.Env());
        const Link &link = Link::from(links.Get(index));
        bpf_link_info read = readInfo(link.fd("read info"), "read info of link", link.name());
        result.Set(index,
                   Napi::Number::New(info.Env(), read.type == BPF_LINK_TYPE_TCX ? read.tcx.ifindex : 0));
    }
    return result;
}

Napi::Value openPinnedLink(const Napi::CallbackInfo &info) {
    std::string path = info[0].As<Napi::String>();
    Fd fd = openPinned("open pinned link", path, "link");
    return Link::make(info.Env(), std::move(fd));
}

} // namespace fairway
