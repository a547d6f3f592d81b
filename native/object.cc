#include "object.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "libbpf_log.h"
#include "map.h"
#include "program.h"

namespace fairway {

namespace {

// A second descriptor of the same thing, so that handles outlive the object.
Fd duplicate(int fd, const char *operation, const std::string &object) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return Fd(check(copy < 0 ? -errno : copy, operation, object));
}

struct Variable {
    std::string section; // ".rodata"
    size_t offset;
    size_t size;
};

// Where a variable of a read-only data section lies, from the object's BTF.
bool findConstant(const btf *types, const std::string &name, Variable &found) {
    uint32_t count = types == nullptr ? 0 : btf__type_cnt(types);
    for (uint32_t id = 1; id < count; id++) {
        const btf_type *section = btf__type_by_id(types, id);
        if (!btf_is_datasec(section)) {
            continue;
        }
        const char *sectionName = btf__name_by_offset(types, section->name_off);
        if (strncmp(sectionName, ".rodata", strlen(".rodata")) != 0) {
            continue;
        }
        const btf_var_secinfo *variable = btf_var_secinfos(section);
        for (int index = 0; index < btf_vlen(section); index++, variable++) {
            const btf_type *type = btf__type_by_id(types, variable->type);
            if (name == btf__name_by_offset(types, type->name_off)) {
                found = {sectionName, variable->offset, variable->size};
                return true;
            }
        }
    }
    return false;
}

// Names the first property in which the map is not what the object declares; empty when there is none.
std::string difference(const bpf_map *declared, const bpf_map_info &actual) {
    const struct {
        const char *name;
        uint32_t declared, actual;
    } properties[] = {
        {"type", bpf_map__type(declared), actual.type},
        {"key size", bpf_map__key_size(declared), actual.key_size},
        {"value size", bpf_map__value_size(declared), actual.value_size},
        {"number of entries", bpf_map__max_entries(declared), actual.max_entries},
        {"flags", bpf_map__map_flags(declared), actual.map_flags},
    };
    for (const auto &property : properties) {
        if (property.declared != property.actual) {
            return std::string(property.name) + " is " + std::to_string(property.actual) + ", declared is " +
                   std::to_string(property.declared);
        }
    }
    return "";
}

} // namespace

void Object::define(Napi::Env env) {
    Napi::Function function = DefineClass(env, "ObjectHandle",
                                          {
                                              Guarded::define<&Object::maps>("maps"),
                                              Guarded::define<&Object::programs>("programs"),
                                              Guarded::define<&Object::setConstant>("setConstant"),
                                              Guarded::define<&Object::setMaxEntries>("setMaxEntries"),
                                              Guarded::define<&Object::setAutoload>("setAutoload"),
                                              Guarded::define<&Object::reuseMap>("reuseMap"),
                                              Guarded::define<&Object::load>("load"),
                                              Guarded::define<&Object::map>("map"),
                                              Guarded::define<&Object::program>("program"),
                                              Guarded::define<&Object::close>("close"),
                                          });
    addonData(env).object = Napi::Persistent(function);
}

Object::Object(const Napi::CallbackInfo &info) : Guarded<Object>(info) {
    Bytes image = bytes(info[0]);
    name_ = info[1].As<Napi::String>();
    LogCapture log;
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name_.c_str());
    object_.reset(bpf_object__open_mem(image.data, image.size, &options));
    if (object_ == nullptr) {
        throw toError(info.Env(), Failure{errno, "open object", name_, log.verdict(), log.trimmed()});
    }
    bpf_map *map = nullptr;
    bpf_object__for_each_map(map, object_.get()) {
        if (!bpf_map__is_internal(map)) {
            maps_[bpf_map__name(map)] = map;
        }
    }
}

bpf_object *Object::object(const char *operation) const {
    if (object_ == nullptr) {
        throw Failure{EBADF, operation, name_, "the object was closed", ""};
    }
    return object_.get();
}

bpf_object *Object::unloaded(const char *operation) const {
    bpf_object *found = object(operation);
    if (loaded_) {
        throw Failure{EBUSY, operation, name_, "the object was loaded already", ""};
    }
    return found;
}

bpf_map *Object::findMap(const char *operation, const std::string &name) const {
    bpf_object *owner = object(operation);
    if (auto found = maps_.find(name); found != maps_.end()) {
        return found->second;
    }
    // Those of data sections, by the section's name.
    bpf_map *section = name[0] == '.' ? bpf_object__find_map_by_name(owner, name.c_str()) : nullptr;
    if (section == nullptr) {
        throw Failure{ENOENT, operation, name, "the object has no such map", ""};
    }
    return section;
}

bpf_program *Object::findProgram(const char *operation, const std::string &name) const {
    bpf_program *found = bpf_object__find_program_by_name(object(operation), name.c_str());
    if (found == nullptr) {
        throw Failure{ENOENT, operation, name, "the object has no such program", ""};
    }
    return found;
}

Napi::Value Object::maps(const Napi::CallbackInfo &info) {
    Napi::Array names = Napi::Array::New(info.Env());
    object("list maps");
    for (const auto &[name, map] : maps_) {
        names.Set(names.Length(), Napi::String::New(info.Env(), name));
    }
    return names;
}

Napi::Value Object::programs(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Napi::Array programs = Napi::Array::New(env);
    bpf_program *program = nullptr;
    bpf_object__for_each_program(program, object("list programs")) {
        const char *type = libbpf_bpf_prog_type_str(bpf_program__type(program));
        Napi::Object entry = Napi::Object::New(env);
        entry["name"] = Napi::String::New(env, bpf_program__name(program));
        entry["section"] = Napi::String::New(env, bpf_program__section_name(program));
        entry["type"] = Napi::String::New(env, type == nullptr ? "unknown" : type);
        programs.Set(programs.Length(), entry);
    }
    return programs;
}

Napi::Value Object::setConstant(const Napi::CallbackInfo &info) {
    std::string name = info[0].As<Napi::String>();
    Bytes value = bytes(info[1]);
    bpf_object *owner = unloaded("set constant");
    Variable variable;
    if (!findConstant(bpf_object__btf(owner), name, variable)) {
        throw Failure{ENOENT, "set constant", name, "the object has no such constant", ""};
    }
    checkSize("set constant", name, "value", value.size, variable.size);
    size_t size = 0;
    bpf_map *section = findMap("set constant", variable.section);
    auto *data = static_cast<uint8_t *>(bpf_map__initial_value(section, &size));
    if (data == nullptr || variable.offset + variable.size > size) {
        throw Failure{EINVAL, "set constant", name, "it lies outside of " + variable.section, ""};
    }
    memcpy(data + variable.offset, value.data, variable.size);
    return info.Env().Undefined();
}

Napi::Value Object::setMaxEntries(const Napi::CallbackInfo &info) {
    std::string name = info[0].As<Napi::String>();
    unloaded("resize map");
    uint32_t entries = info[1].As<Napi::Number>().Uint32Value();
    check(bpf_map__set_max_entries(findMap("resize map", name), entries), "resize map", name);
    return info.Env().Undefined();
}

Napi::Value Object::setAutoload(const Napi::CallbackInfo &info) {
    std::string name = info[0].As<Napi::String>();
    unloaded("choose program");
    check(bpf_program__set_autoload(findProgram("choose program", name), info[1].As<Napi::Boolean>()),
          "choose program", name);
    return info.Env().Undefined();
}

Napi::Value Object::reuseMap(const Napi::CallbackInfo &info) {
    std::string name = info[0].As<Napi::String>();
    Map &map = Map::from(info[1]);
    unloaded("reuse map");
    bpf_map *declared = findMap("reuse map", name);
    int fd = map.fd("reuse map");
    std::string different = difference(declared, map.kernelInfo());
    if (!different.empty()) {
        throw Failure{EINVAL, "reuse map", name, different, ""};
    }
    LogCapture log;
    int error = bpf_map__reuse_fd(declared, fd);
    if (error < 0) {
        throw Failure{-error, "reuse map", name, log.verdict(), log.trimmed()};
    }
    return info.Env().Undefined();
}

Napi::Value Object::load(const Napi::CallbackInfo &info) {
    bpf_object *object = unloaded("load object");
    LogCapture log;
    int error = bpf_object__load(object);
    if (error < 0) {
        std::string program = log.failedProgram();
        Failure failure{-error, program.empty() ? "load object" : "load program",
                        program.empty() ? name_ : program, log.verdict(), log.trimmed()};
        object_.reset(); // libbpf has unloaded it; another load of it is refused
        throw failure;
    }
    loaded_ = true;
    return info.Env().Undefined();
}

Napi::Value Object::map(const Napi::CallbackInfo &info) {
    std::string name = info[0].As<Napi::String>();
    int fd = bpf_map__fd(findMap("open map", name));
    if (!loaded_ || fd < 0) {
        throw Failure{ENOENT, "open map", name, "it was not loaded", ""};
    }
    return Map::make(info.Env(), duplicate(fd, "open map", name), name);
}

Napi::Value Object::program(const Napi::CallbackInfo &info) {
    std::string name = info[0].As<Napi::String>();
    int fd = bpf_program__fd(findProgram("open program", name));
    if (!loaded_ || fd < 0) {
        throw Failure{ENOENT, "open program", name, "it was not loaded", ""};
    }
    return Program::make(info.Env(), duplicate(fd, "open program", name), name);
}

Napi::Value Object::close(const Napi::CallbackInfo &info) {
    object_.reset();
    return info.Env().Undefined();
}

Napi::Value openObject(const Napi::CallbackInfo &info) {
    return addonData(info.Env()).object.New({info[0], info[1]});
}

} // namespace fairway
