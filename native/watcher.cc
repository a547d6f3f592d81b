#include "watcher.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "error.h"
#include "fd.h"

namespace fairway {

struct Watcher::State {
    static void called(Napi::Env env, Napi::Function, State *state, void *);
    using Function = Napi::TypedThreadSafeFunction<State, void, called>;

    void run();
    void resume() {
        uint64_t one = 1;
        // Can only fail when the counter is full, and then the thread is awake anyway.
        [[maybe_unused]] ssize_t written = write(wake.get(), &one, sizeof(one));
    }

    int fd;
    Fd wake;
    std::function<void(Napi::Env)> onReadable;
    std::atomic<bool> stopped{false};
    Function function;
    std::thread thread;
};

// The thread: wait until readable, ask for a call, wait until it is done.
void Watcher::State::run() {
    for (;;) {
        pollfd waits[] = {{wake.get(), POLLIN, 0}, {fd, POLLIN, 0}};
        if (poll(waits, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        if (stopped) {
            return;
        }
        if (waits[1].revents == 0) {
            continue;
        }
        if (function.NonBlockingCall() != napi_ok) {
            return;
        }
        uint64_t count;
        while (read(wake.get(), &count, sizeof(count)) < 0 && errno == EINTR) {
        }
        if (stopped) {
            return;
        }
    }
}

// On JavaScript's thread; env is null when the environment is going away.
void Watcher::State::called(Napi::Env env, Napi::Function, State *state, void *) {
    if (static_cast<napi_env>(env) == nullptr || state->stopped) {
        return;
    }
    try {
        state->onReadable(env);
    } catch (const Failure &failure) {
        napi_fatal_exception(env, toError(env, failure).Value());
    } catch (const Napi::Error &error) {
        napi_fatal_exception(env, error.Value());
    }
    if (!state->stopped) {
        state->resume();
    }
}

Watcher::Watcher(Napi::Env env, int fd, const char *name, std::function<void(Napi::Env)> onReadable)
    : state_(new State), env_(env) {
    state_->fd = fd;
    state_->wake = Fd(eventfd(0, EFD_CLOEXEC));
    if (!state_->wake.open()) {
        int error = errno;
        delete state_;
        throw Failure{error, "watch", name, "", ""};
    }
    state_->onReadable = std::move(onReadable);
    state_->function = State::Function::New(
        env, name, 0, 1, state_, [](Napi::Env, void *, State *state) { delete state; },
        static_cast<void *>(nullptr));
    // Before Node tears the thread-safe function down (hooks run last in, first out), the thread must be
    // gone.
    napi_add_env_cleanup_hook(env, stopBeforeTeardown, this);
    state_->thread = std::thread(&State::run, state_);
}

Watcher::~Watcher() {
    stop();
}

void Watcher::stopBeforeTeardown(void *watcher) {
    static_cast<Watcher *>(watcher)->stop();
}

bool Watcher::stopped() const {
    return !running_;
}

void Watcher::stop() {
    if (!running_) {
        return;
    }
    running_ = false;
    napi_remove_env_cleanup_hook(env_, stopBeforeTeardown, this);
    state_->stopped = true;
    state_->resume();
    state_->thread.join();
    State::Function function = state_->function;
    function.Release(); // the last one: Node calls the finalizer later
}

void notify(Napi::Env env, const Napi::FunctionReference &function,
            const std::vector<napi_value> &arguments) {
    try {
        function.Call(arguments);
    } catch (const Napi::Error &error) {
        napi_fatal_exception(env, error.Value());
    }
}

} // namespace fairway
