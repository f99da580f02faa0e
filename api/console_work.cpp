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

/// Requests come first. Of the calling thread alone.
void lower_priority() {
  constexpr int kConsoleNice = 10;
  setpriority(PRIO_PROCESS, 0, kConsoleNice);
}

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
    : engine_(engine), reporting_([this](const std::stop_token& stop) { make_reports(stop); }) {}

ConsoleWork::~ConsoleWork() = default;

ConsoleRollBack ConsoleWork::roll_back(const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (roll_back_ && roll_back_->running) {
    throw engine::Unavailable(fmt::format(
        "rolling back to version {} is under way; wait until it has ended", roll_back_->to));
  }
  // The thread of the one before has nothing left to do.
  rolling_back_ = std::jthread([this, to] {
    lower_priority();
    auto error = complaint_about([&] { engine_.roll_back(to); });
    if (error) spdlog::error("rolling back to version {} failed: {}", to, *error);
    const std::lock_guard ending(mutex_);
    roll_back_ = {to, false, std::move(error)};
  });
  roll_back_ = {to, true, std::nullopt};
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
  if (waiting_.size() == kReportsWaitingMax) {
    throw engine::Unavailable(
        fmt::format("{} reports wait to be made; ask again later", waiting_.size()));
  }
  waiting_.push_back({experiment, period_ms});
  wake_.notify_one();
  ConsoleReport& begun = reports_[key];
  begun.running = true;
  ConsoleReport answer = begun;
  if (reports_.size() > kReportsKept) forget_oldest_report();
  return answer;
}

void ConsoleWork::make_reports(const std::stop_token& stop) {
  lower_priority();
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
    if (stop.stop_requested()) return;
    const ReportWanted wanted = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    ConsoleReport made = make_report(wanted, stop);
    lock.lock();
    reports_[{wanted.experiment.name, wanted.period_ms}] = std::move(made);
  }
}

/// As of when its turn has come.
ConsoleReport ConsoleWork::make_report(const ReportWanted& wanted, const std::stop_token& stop) {
  engine::ReportOptions options;
  options.now_ms = engine_.now_ms();
  options.period_ms = wanted.period_ms;
  options.go_on = [&stop] { return !stop.stop_requested(); };
  ConsoleReport made{.report = nullptr, .error = {}, .as_of_ms = options.now_ms, .running = false};
  made.error = complaint_about([&] {
    made.report = std::make_shared<const boost::json::object>(
        report_json(engine::make_report(engine_.db(), wanted.experiment, options)));
  });
  return made;
}

void ConsoleWork::forget_oldest_report() {
  const auto oldest = std::ranges::min_element(reports_, {}, [](const auto& entry) {
    const auto& [key, report] = entry;
    return report.running ? INT64_MAX : *report.as_of_ms;
  });
  if (!oldest->second.running) reports_.erase(oldest);
}

}  // namespace fovea::api
