// Waits for a file descriptor on a thread of its own and calls back on JavaScript's thread. (libuv's own poll
// would need uv.h, which is not part of Node-API and not on every machine that has Node.)
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

namespace fairway {

class Watcher {
public:
    // onReadable is called with a scope open, at most once per turn of the event loop, as long as there is
    // something to read; it need not read everything. The descriptor must stay open until stop().
    Watcher(Napi::Env env, int fd, const char *name, std::function<void(Napi::Env)> onReadable);
    ~Watcher();
    Watcher(const Watcher &) = delete;
    Watcher &operator=(const Watcher &) = delete;

    // After it onReadable is not called any more. May be called from within onReadable; twice is fine.
    void stop();
    bool stopped() const;

private:
    static void stopBeforeTeardown(void *watcher);

    struct State;
    std::shared_ptr<State> state_;
    napi_env env_;
};

// Calls a JavaScript function from within onReadable; what it throws becomes an uncaught exception, as it
// does when a listener of Node's own throws.
void notify(Napi::Env env, const Napi::FunctionReference &function, const std::vector<napi_value> &arguments);

} // namespace fairway
