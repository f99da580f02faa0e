// What the console's page shows, as JSON: the engine's state, its versions, a look for users and
// items, experiments and their reports; and rolling back. Owns the shapes; what takes long is
// console_work's. Knows no HTTP: paths, tokens and who may what are http_dispatch's.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/measured_service.h"
#include "engine/engine.h"

namespace fovea::api {

/// Most users or items that one look gives.
inline constexpr std::int32_t kConsoleLimitMax = 100;

/// What the page is told of its rights; whoever calls has checked them.
struct ConsoleRights {
  bool writes = true;  ///< False: the page may change nothing.
  bool token = false;  ///< Whether a change needs one.
};

/// Thread-safe. Answers from memory or from a short read of the disk. Throws
/// engine::InvalidRequest, engine::Unavailable, and storage::StoreError for a damaged store.
class ConsoleService {
 public:
  /// `engine` and `measured` must outlive this, and whatever `ports` looks at.
  ConsoleService(engine::Engine& engine, const MeasuredService& measured,
                 const std::filesystem::path& data_directory,
                 std::function<std::vector<PortFigures>()> ports, ConsoleRights rights);
  /// Ends a report that is being made; waits for a version that is being loaded.
  ~ConsoleService();
  ConsoleService(const ConsoleService&) = delete;
  ConsoleService& operator=(const ConsoleService&) = delete;

  /// What serves, on what and how fast; times in microseconds over the newest 1,024 lists.
  boost::json::object engine();
  /// {"versions": as `fovea versions --json`, "rollback": the last one, null: none yet}
  boost::json::object versions();
  /// {"epochs": the lines of the version's training.jsonl}; none where nothing was learned.
  boost::json::object training(std::string_view version);
  /// Begins to make another version current and serve it, and returns {"rollback": ..}; versions()
  /// tells how it ended. Unavailable while another one is under way.
  boost::json::object roll_back(std::string_view to);
  /// {"users": [{"user_id", "behaviours"}]} whose ids begin with `prefix`, at most `limit`, in the
  /// ids' order of bytes.
  boost::json::object users(std::string_view prefix, std::int32_t limit);
  /// {"items": [..]} likewise, in the order in which the catalogue got to know them; without their
  /// embeddings, which nobody reads and which are most of the bytes.
  boost::json::object items(std::string_view prefix, std::int32_t limit);
  /// {"items": [..]} of these ids, as engine::Engine::get_items() has them, without embeddings.
  boost::json::object items(std::span<const std::string> item_ids);
  /// {"experiments": [..]} as declared: what is applied now, then what the store alone remembers.
  boost::json::object experiments();
  /// {"report", "error", "as_of_ms", "running"}: the newest report there is, null before the first.
  /// One that is missing or older than half a minute is begun. `by`: "day", "hour" or "minute".
  boost::json::object report(std::string_view experiment, std::string_view by);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fovea::api
