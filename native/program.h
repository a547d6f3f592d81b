#pragma once

#include <napi.h>

#include "handle.h"

namespace fairway {

// A loaded BPF program. See src/native/program.ts.
class Program : public FdHandle<Program> {
public:
    static constexpr const char *kind = "program";
    static Napi::FunctionReference &constructor(AddonData &data) { return data.program; }
    static void define(Napi::Env env);
    using FdHandle::FdHandle;
    void opened();

private:
    Napi::Value info(const Napi::CallbackInfo &info);
    Napi::Value testRun(const Napi::CallbackInfo &info);
    Napi::Value run(const Napi::CallbackInfo &info);
    Napi::Value attachTcx(const Napi::CallbackInfo &info);
    Napi::Value attachXdp(const Napi::CallbackInfo &info);
    Napi::Value attachClsact(const Napi::CallbackInfo &info);
    Napi::Value attachCgroup(const Napi::CallbackInfo &info);
};

Napi::Value openPinnedProgram(const Napi::CallbackInfo &info);
Napi::Value openProgramById(const Napi::CallbackInfo &info);
// Arguments: ifindex, direction. Ids of the programs there, in the order that they run in.
Napi::Value tcxPrograms(const Napi::CallbackInfo &info);
// Whether the kernel has TCX.
Napi::Value supportsTcx(const Napi::CallbackInfo &info);

} // namespace fairway
