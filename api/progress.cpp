#include "api/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace fovea::api {
namespace {

constexpr std::uint64_t kBarColumns = 30;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::milliseconds kPlainLine{5000};

}  // namespace

Progress Progress::to_stderr() { return Progress(std::cerr, ::isatty(STDERR_FILENO) == 1); }

void Progress::bar(std::string_view what, std::uint64_t done, std::uint64_t of) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < (terminal_ ? kRedraw : kPlainLine)) return;
  last_ = now;
  const std::uint64_t percent = of == 0 ? 100 : std::min<std::uint64_t>(100, done * 100 / of);
  if (!terminal_) {
    out_ << fmt::format("{}: {} %\n", what, percent) << std::flush;
    return;
  }
  const std::uint64_t filled = percent * kBarColumns / 100;
  draw(fmt::format("{} [{}{}] {:>3} %", what, std::string(filled, '#'),
                   std::string(kBarColumns - filled, ' '), percent));
}

void Progress::step(std::string_view stage, std::string_view message) {
  if (!terminal_) return line(fmt::format("{}: {}", stage, message));
  if (stage != stage_) keep();
  draw(fmt::format("{}: {}", stage, message));
  stage_ = stage;
}

void Progress::line(std::string_view text) {
  clear();
  out_ << text << '\n' << std::flush;
}

void Progress::draw(std::string_view text) {
  out_ << "\r\x1b[K" << text << std::flush;
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) out_ << "\r\x1b[K" << std::flush;
  drawn_ = false;
  stage_.clear();
}

void Progress::keep() {
  if (drawn_ && !stage_.empty()) {
    out_ << '\n' << std::flush;
    drawn_ = false;
  }
  clear();
}

}  // namespace fovea::api
