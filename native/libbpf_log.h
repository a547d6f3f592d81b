// libbpf talks through one callback for the whole process; this catches what it says during a call.
#pragma once

#include <string>

#include "error.h"

namespace fairway {

// Drops everything that is said outside of a LogCapture. Called once.
void silenceLibbpf();

// While it lives, warnings and information of this thread's calls into libbpf are kept. Not to be nested.
class LogCapture {
public:
    LogCapture();
    ~LogCapture();
    LogCapture(const LogCapture &) = delete;
    LogCapture &operator=(const LogCapture &) = delete;

    // libbpf's own lines, then the last lines of the verifier's log.
    std::string trimmed() const;
    // The verifier's verdict in a line ("R1 invalid mem access 'scalar'"); else libbpf's last line; else
    // empty.
    std::string verdict() const;
    // The program that libbpf says could not be loaded; empty when it names none.
    std::string failedProgram() const;

private:
    std::string text_;
};

} // namespace fairway
