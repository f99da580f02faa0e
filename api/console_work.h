// What the console asks for that takes longer than a page waits: an experiment's report, which
// reads every exposure, and rolling back, which loads a version. Owns the thread on which reports
// are made one after another, the newest of them, and the thread of a roll back, which waits for
// no report.
#pragma once

#include <boost/json.hpp>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "engine/engine.h"
#include "engine/experiments.h"

namespace fovea::api {

/// Reports that wait for their turn; further ones are refused with Unavailable.
inline constexpr std::size_t kReportsWaitingMax = 8;
/// Reports that are kept; beyond, the oldest goes.
inline constexpr std::size_t kReportsKept = 32;
/// One that is older is made anew when somebody asks for it.
inline constexpr std::int64_t kReportAgeMaxMs = 30'000;

struct ConsoleRollBack {
  std::string to;
  bool running = true;
  std::optional<std::string> error;  ///< Why it failed; absent: it runs, or `to` served at its end.
};

struct ConsoleReport {
  std::shared_ptr<const boost::json::object> report;  ///< report_json(); null: none yet, or failed.
  std::optional<std::string> error;                   ///< Why the newest one could not be made.
  std::optional<std::int64_t> as_of_ms;               ///< Absent: none was made yet.
  bool running = false;                               ///< A newer one is on its way.
};

/// Thread-safe; nothing waits for the work.
class ConsoleWork {
 public:
  /// The engine must outlive it.
  explicit ConsoleWork(engine::Engine& engine);
  /// Ends a report that is being made; waits for a version that is being loaded. What has not been
  /// begun is not done.
  ~ConsoleWork();
  ConsoleWork(const ConsoleWork&) = delete;
  ConsoleWork& operator=(const ConsoleWork&) = delete;

  /// Begins at once. Throws engine::Unavailable while one is under way.
  ConsoleRollBack roll_back(const std::string& to);
  std::optional<ConsoleRollBack> last_roll_back() const;  ///< Absent: nobody asked yet.

  /// The newest there is. Begins another where there is none or it is older than kReportAgeMaxMs.
  /// A delete_user waits for one that is being made. Throws engine::Unavailable where too many
  /// wait.
  ConsoleReport report(const engine::Experiment& experiment, std::int64_t period_ms);

 private:
  struct ReportWanted {
    engine::Experiment experiment;
    std::int64_t period_ms;
  };

  void make_reports(const std::stop_token& stop);
  ConsoleReport make_report(const ReportWanted& wanted, const std::stop_token& stop);
  void forget_oldest_report();  ///< With the lock held.

  engine::Engine& engine_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any wake_;
  std::deque<ReportWanted> waiting_;
  std::optional<ConsoleRollBack> roll_back_;
  /// By name and period. Each runs or was made.
  std::map<std::pair<std::string, std::int64_t>, ConsoleReport> reports_;
  // Last: they stop before what they use goes, the reports first.
  std::jthread rolling_back_;
  std::jthread reporting_;
};

}  // namespace fovea::api
