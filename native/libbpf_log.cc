#include "libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <vector>

namespace fairway {

namespace {

thread_local std::string *captured = nullptr;

// A verifier log ends with what went wrong; more than this was never of use.
constexpr size_t verifierLinesKept = 40;
constexpr size_t libbpfLinesKept = 20;

int print(enum libbpf_print_level level, const char *format, va_list arguments) {
    if (captured == nullptr || level == LIBBPF_DEBUG) {
        return 0;
    }
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(nullptr, 0, format, arguments);
    if (length > 0) {
        size_t start = captured->size();
        captured->resize(start + static_cast<size_t>(length) + 1);
        vsnprintf(&(*captured)[start], static_cast<size_t>(length) + 1, format, again);
        captured->pop_back(); // the terminating zero
    }
    va_end(again);
    return 0;
}

struct Lines {
    std::vector<std::string> libbpf;
    std::vector<std::string> verifier;
};

Lines split(const std::string &text) {
    Lines lines;
    bool verifier = false;
    size_t start = 0;
    while (start < text.size()) {
        size_t end = text.find('\n', start);
        if (end == std::string::npos) {
            end = text.size();
        }
        std::string line = text.substr(start, end - start);
        start = end + 1;
        if (line.find("-- BEGIN PROG LOAD LOG --") != std::string::npos) {
            verifier = true;
        } else if (line.find("-- END PROG LOAD LOG --") != std::string::npos) {
            verifier = false;
        } else if (!line.empty()) {
            (verifier ? lines.verifier : lines.libbpf).push_back(std::move(line));
        }
    }
    return lines;
}

void appendLast(std::string &text, const std::vector<std::string> &lines, size_t count) {
    size_t first = lines.size() > count ? lines.size() - count : 0;
    if (first > 0) {
        text += "(" + std::to_string(first) + " lines left out)\n";
    }
    for (size_t index = first; index < lines.size(); index++) {
        text += lines[index] + "\n";
    }
}

bool startsWith(const std::string &line, const char *prefix) {
    return line.rfind(prefix, 0) == 0;
}

} // namespace

void silenceLibbpf() {
    libbpf_set_print(print);
}

LogCapture::LogCapture() {
    captured = &text_;
}

LogCapture::~LogCapture() {
    captured = nullptr;
}

std::string LogCapture::trimmed() const {
    Lines lines = split(text_);
    std::string text;
    appendLast(text, lines.libbpf, libbpfLinesKept);
    appendLast(text, lines.verifier, verifierLinesKept);
    if (!text.empty()) {
        text.pop_back();
    }
    return text;
}

std::string LogCapture::verdict() const {
    Lines lines = split(text_);
    for (auto line = lines.verifier.rbegin(); line != lines.verifier.rend(); ++line) {
        // What the verifier says after its verdict: statistics.
        if (!startsWith(*line, "processed ") && !startsWith(*line, "verification time") &&
            !startsWith(*line, "stack depth")) {
            return *line;
        }
    }
    return lines.libbpf.empty() ? "" : lines.libbpf.back();
}

std::string LogCapture::failedProgram() const {
    // "libbpf: prog 'NAME': BPF program load failed: Invalid argument"
    static const std::string before = "prog '";
    size_t failed = text_.find("': BPF program load failed");
    if (failed == std::string::npos) {
        return "";
    }
    size_t start = text_.rfind(before, failed);
    return start == std::string::npos ? ""
                                      : text_.substr(start + before.size(), failed - start - before.size());
}

} // namespace fairway
