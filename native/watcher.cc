#include "watcher.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "error.h"
#include "fd.h"

namespace fairway {

// Shared by the watcher, its thread's calls that may still be queued, and the function that resumes the
// thread.
struct Watcher::State {
    static void called(Napi::Env env, Napi::Function, std::shared_ptr<State> *shared, void *);
    using Calls = Napi::TypedThreadSafeFunction<std::shared_ptr<State>, void, called>;

    void run();
    void wake() {
        uint64_t one = 1;
        // Can only fail when the counter is full, and then the thread is awake anyway.
        [[maybe_unused]] ssize_t written = write(waker.get(), &one, sizeof(one));
    }

    int fd = -1;
    Fd waker;
    std::function<void(Napi::Env)> onReadable;
    std::atomic<bool> stopped{false};
    Calls calls;
    Napi::FunctionReference setImmediate;
    Napi::FunctionReference resume;
    std::thread thread;
};

// The thread: wait until readable, ask for a call, wait until it is resumed.
void Watcher::State::run() {
    for (;;) {
        pollfd waits[] = {{waker.get(), POLLIN, 0}, {fd, POLLIN, 0}};
        if (poll(waits, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        if (stopped) {
            return;
        }
        if (waits[1].revents == 0) {
            continue;
        }
        if (calls.NonBlockingCall() != napi_ok) {
            return;
        }
        uint64_t count;
        while (read(waker.get(), &count, sizeof(count)) < 0 && errno == EINTR) {
        }
        if (stopped) {
            return;
        }
    }
}

// On JavaScript's thread; env is null when the environment is going away.
void Watcher::State::called(Napi::Env env, Napi::Function, std::shared_ptr<State> *shared, void *) {
    std::shared_ptr<State> state = *shared;
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
        // Not at once: Node would make the thread's next call within this turn of the event loop.
        notify(env, state->setImmediate, {state->resume.Value()});
    }
}

Watcher::Watcher(Napi::Env env, int fd, const char *name, std::function<void(Napi::Env)> onReadable)
    : state_(std::make_shared<State>()), env_(env) {
    state_->fd = fd;
    state_->waker = Fd(eventfd(0, EFD_CLOEXEC));
    if (!state_->waker.open()) {
        throw Failure{errno, "watch", name, "", ""};
    }
    state_->onReadable = std::move(onReadable);
    state_->setImmediate = Napi::Persistent(env.Global().Get("setImmediate").As<Napi::Function>());
    std::weak_ptr<State> weak = state_;
    state_->resume = Napi::Persistent(Napi::Function::New(env, [weak](const Napi::CallbackInfo &) {
        if (std::shared_ptr<State> state = weak.lock()) {
            state->wake();
        }
    }));
    state_->calls = State::Calls::New(
        env, name, 0, 1, new std::shared_ptr<State>(state_),
        [](Napi::Env, void *, std::shared_ptr<State> *shared) { delete shared; },
        static_cast<void *>(nullptr));
    // Before Node tears the thread-safe function down (hooks run last in, first out), the thread must be
    // gone.
    napi_add_env_cleanup_hook(env, stopBeforeTeardown, this);
    state_->thread = std::thread(&State::run, state_.get());
}

Watcher::~Watcher() {
    stop();
}

void Watcher::stopBeforeTeardown(void *watcher) {
    static_cast<Watcher *>(watcher)->stop();
}

bool Watcher::stopped() const {
    return state_->stopped;
}

void Watcher::stop() {
    if (state_->stopped) {
        return;
    }
    napi_remove_env_cleanup_hook(env_, stopBeforeTeardown, this);
    state_->stopped = true;
    state_->wake();
    state_->thread.join();
    state_->setImmediate.Reset();
    state_->resume.Reset();
    state_->calls.Release(); // the last one: Node calls the finalizer later
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
