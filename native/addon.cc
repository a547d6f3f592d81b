// What the addon exports; src/native/addon.ts is the same in TypeScript.
#include "addon.h"

#include <bpf/libbpf.h>

#include "clsact.h"
#include "conntrack.h"
#include "error.h"
#include "libbpf_log.h"
#include "lines.h"
#include "link.h"
#include "map.h"
#include "memory.h"
#include "netlink_generation.h"
#include "netlink_list.h"
#include "netlink_monitor.h"
#include "netlink_nsid.h"
#include "object.h"
#include "program.h"
#include "ring_buffer.h"
#include "socket.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace fairway {

namespace {

// Argument: a function that makes an Error of what error.cc fills in.
Napi::Value init(const Napi::CallbackInfo &info) {
    addonData(info.Env()).makeError = Napi::Persistent(info[0].As<Napi::Function>());
    return info.Env().Undefined();
}

// The kernel's tick, which its coarse clocks go by (kernel/time/posix-timers.c, posix_get_coarse_res), in
// nanoseconds.
Napi::Value nsPerJiffy(const Napi::CallbackInfo &info) {
    timespec tick{};
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0)
        throw Failure{errno, "ask a clock for its resolution", "", "", ""};
    return Napi::Number::New(info.Env(), static_cast<double>(tick.tv_nsec));
}

Napi::Value possibleCpus(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), check(libbpf_num_possible_cpus(), "count CPUs", ""));
}

#ifdef __SANITIZE_ADDRESS__
// Of the sanitized build alone: reports what has leaked until now.
Napi::Value checkLeaks(const Napi::CallbackInfo &info) {
    __lsan_do_recoverable_leak_check();
    return info.Env().Undefined();
}
#endif

template <Napi::Value (*function)(const Napi::CallbackInfo &)>
void add(Napi::Object &exports, const char *name) {
    exports.Set(name, Napi::Function::New<guarded<function>>(exports.Env(), name));
}

Napi::Object load(Napi::Env env, Napi::Object exports) {
    env.SetInstanceData(new AddonData);
    silenceLibbpf();
    Map::define(env);
    Program::define(env);
    Link::define(env);
    Object::define(env);
    RingBuffer::define(env);
    Monitor::define(env);

    add<init>(exports, "init");
    add<openPinnedMap>(exports, "openPinnedMap");
    add<createMap>(exports, "createMap");
    add<openPinnedProgram>(exports, "openPinnedProgram");
    add<openProgramById>(exports, "openProgramById");
    add<openPinnedLink>(exports, "openPinnedLink");
    add<linkDevices>(exports, "linkDevices");
    add<openObject>(exports, "openObject");
    add<detachClsact>(exports, "detachClsact");
    add<clsactFilters>(exports, "clsactFilters");
    add<removeClsact>(exports, "removeClsact");
    add<openRingBuffer>(exports, "ringBuffer");
    add<possibleCpus>(exports, "possibleCpus");
    add<nsPerJiffy>(exports, "nsPerJiffy");
    add<supportsTcx>(exports, "supportsTcx");
    add<tcxPrograms>(exports, "tcxPrograms");
    add<listLinks>(exports, "listLinks");
    add<getLinks>(exports, "getLinks");
    add<listAddresses>(exports, "listAddresses");
    add<listRoutes>(exports, "listRoutes");
    add<findRoute>(exports, "findRoute");
    add<listNeighbours>(exports, "listNeighbours");
    add<firewallGeneration>(exports, "firewallGeneration");
    add<netnsIds>(exports, "netnsIds");
    add<enterNetworkNamespace>(exports, "enterNetworkNamespace");
    add<openMonitor>(exports, "netMonitor");
    add<listConntrack>(exports, "listConntrack");
    add<deleteConntrack>(exports, "deleteConntrack");
    add<deleteConntrackOf>(exports, "deleteConntrackOf");
    add<updateConntrackTcp>(exports, "updateConntrackTcp");
    add<netnsCookie>(exports, "netnsCookie");
    add<redialUdp>(exports, "redialUdp");
    add<writeLines>(exports, "writeLines");
    add<returnLargeBlocks>(exports, "returnLargeBlocks");
#ifdef __SANITIZE_ADDRESS__
    add<checkLeaks>(exports, "checkLeaks");
#endif
    return exports;
}

} // namespace

NODE_API_MODULE(fairway_native, load)

} // namespace fairway
