#include "api/console_work.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <exception>

#include "api/experiment_report.h"
#include "engine/report.h"

namespace fovea::api {
namespace {

/// Of a thread that no request waits for.
constexpr int kConsoleNice = 10;

/// What was thrown, as a sentence; absent: nothing was.
template <typename Work>
std::optional<std::string> complaint_about(const Work& work) {
  try {
    work();
    return std::nullopt;
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

ConsoleWork::ConsoleWork(engine::Engine& engine)
    : engine_(engine), thread_([this](const std::stop_token& stop) { work(stop); }) {}

ConsoleWork::~ConsoleWork() = default;

void ConsoleWork::work(const std::stop_token& stop) {
  setpriority(PRIO_PROCESS, 0, kConsoleNice);  // of this thread alone
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
    if (stop.stop_requested()) return;
    const Job job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    job(stop);
    lock.lock();
  }
}

ConsoleRollBack ConsoleWork::roll_back(const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (roll_back_ && roll_back_->running) {
    throw engine::Unavailable(fmt::format(
        "rolling back to version {} is under way; wait until it has ended", roll_back_->to));
  }
  roll_back_ = {to, true, std::nullopt};
  waiting_.emplace_front([this, to](const std::stop_token&) {
    auto error = complaint_about([&] { engine_.roll_back(to); });
    if (error) spdlog::error("rolling back to version {} failed: {}", to, *error);
    const std::lock_guard ending(mutex_);
    roll_back_ = {to, false, std::move(error)};
  });
  wake_.notify_one();
  return *roll_back_;
}

std::optional<ConsoleRollBack> ConsoleWork::last_roll_back() const {
  const std::lock_guard lock(mutex_);
  return roll_back_;
}

ConsoleReport ConsoleWork::report(const engine::Experiment& experiment, std::int64_t period_ms) {
  const std::int64_t now_ms = engine_.now_ms();
  const std::lock_guard lock(mutex_);
  const std::pair key(experiment.name, period_ms);
  if (const auto kept = reports_.find(key); kept != reports_.end()) {
    const ConsoleReport& report = kept->second;
    if (report.running || std::abs(now_ms - *report.as_of_ms) <= kReportAgeMaxMs) return report;
  }
  if (reports_waiting_ == kReportsWaitingMax) {
    throw engine::Unavailable(
        fmt::format("{} reports wait to be made; ask again later", reports_waiting_));
  }
  waiting_.emplace_back([this, experiment, period_ms, now_ms](const std::stop_token& stop) {
    make_report(experiment, period_ms, now_ms, stop);
  });
  ++reports_waiting_;
  wake_.notify_one();
  ConsoleReport& begun = reports_[key];
  begun.running = true;
  ConsoleReport answer = begun;
  if (reports_.size() > kReportsKept) forget_oldest_report();
  return answer;
}

void ConsoleWork::make_report(const engine::Experiment& experiment, std::int64_t period_ms,
                              std::int64_t now_ms, const std::stop_token& stop) {
  {
    const std::lock_guard lock(mutex_);
    --reports_waiting_;
  }
  engine::ReportOptions options;
  options.now_ms = now_ms;
  options.period_ms = period_ms;
  options.go_on = [&stop] { return !stop.stop_requested(); };
  ConsoleReport made{.report = nullptr, .error = {}, .as_of_ms = now_ms, .running = false};
  made.error = complaint_about([&] {
    made.report = std::make_shared<const boost::json::object>(
        report_json(engine::make_report(engine_.db(), experiment, options)));
  });
  const std::lock_guard lock(mutex_);
  reports_[{experiment.name, period_ms}] = std::move(made);
}

void ConsoleWork::forget_oldest_report() {
  const auto oldest = std::ranges::min_element(reports_, {}, [](const auto& entry) {
    const auto& [key, report] = entry;
    return report.running ? INT64_MAX : *report.as_of_ms;
  });
  if (!oldest->second.running) reports_.erase(oldest);
}

}  // namespace fovea::api
