// The door for C++ embedders: one data directory, its store and its current model, and every call
// of the contract. Owns the order of things between store, model and index; the four steps of a
// ranking are pipeline's.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine_figures.h"
#include "engine/gpu_options.h"
#include "engine/request.h"
#include "engine/searched_text.h"
#include "index/generational_index.h"
#include "storage/db.h"

namespace fovea::engine {

class LiveModel;
struct Experiments;
struct Snapshot;

struct EngineOptions {
  // Behaviour.
  storage::Access access = storage::Access::kReadWrite;
  /// False: import needs none, and is then not refused for a damaged version; nor are texts made
  /// searchable by words.
  bool load_model = true;
  bool record_exposures = true;
  /// Actions after which an item still counts as unseen, such as an impression.
  std::set<std::string> not_seen;
  SearchOptions search;  ///< Of queries; the language's name must be known.
  storage::DbOptions db;
  /// Milliseconds since the epoch; injectable. Absent: the machine's clock.
  std::function<std::int64_t()> now_ms;
  /// How often the directory is looked at for a newly published version, the store for behaviours
  /// that add to the transitions of the one that serves, and its indexes for what came and went; 0:
  /// never (call reload(), recount() and rebuild()).
  std::chrono::milliseconds reload_interval{1000};
  /// Where a GPU ranks and fails, the CPU goes on with the reason in every answer.
  DeviceChoice device = DeviceChoice::kCpu;
  GpuOptions gpu;
  // Performance.
  index::RebuildOptions rebuild;
  /// Candidates that are reranked, of all sources together, the best of each in turn.
  std::size_t retrieve = 500;
};

/// Thread-safe, every method. Throws InvalidRequest for the caller's mistakes, Unavailable and
/// storage::StoreError for the machine's.
class Engine {
 public:
  /// Throws also storage::StoreError and VersionError for what is damaged, Unavailable for
  /// DeviceChoice::kGpu without one.
  static std::unique_ptr<Engine> open(const std::filesystem::path& data_directory,
                                      EngineOptions options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  RankResponse rank(const RankRequest& request);
  /// One response per request, in order; an invalid one fails the call with its field led by
  /// "requests[i].".
  std::vector<RankResponse> rank_many(std::span<const RankRequest> requests);
  std::int32_t record(std::span<const Event> events);
  std::int32_t put_items(std::span<const Item> items);
  std::int32_t remove_items(std::span<const std::string> item_ids);
  std::vector<Item> get_items(std::span<const std::string> item_ids);
  std::vector<Event> get_history(std::string_view user_id, std::int32_t limit);
  void delete_user(std::string_view user_id);
  Status status();
  EngineFigures figures();
  std::int64_t now_ms() const;  ///< By the clock that requests are answered by.

  /// Declares an action, or changes its weight. Only declared actions can be recorded.
  void declare_action(std::string_view name, double weight);

  /// What is tried on requests from now on, in place of what was before; a request that runs keeps
  /// what it began with. Loads the versions that variants name, on the calling thread, and keeps
  /// them beside the one that serves for as long as an experiment names them: in step with the
  /// catalogue, and on the disk. Throws InvalidRequest for a declaration that breaks a rule or
  /// names a version that is missing or damaged; then nothing has changed.
  void set_experiments(const Experiments& experiments);

  /// What is tried on requests now.
  std::shared_ptr<const Experiments> experiments();

  /// Makes another version of the directory current, as Versions::roll_back() does, and serves it
  /// when this returns. Throws InvalidRequest where it serves already, VersionError where it is
  /// unknown or damaged; then nothing has changed.
  void roll_back(std::string_view to);

  /// Takes the version that CURRENT names, if it is another than the one that serves. Returns
  /// whether it changed. A damaged version is refused with a logged reason and the old one keeps
  /// serving.
  bool reload();

  /// Builds the indexes of the version that serves anew where so much came and went that it pays,
  /// on the calling thread and beside every other call, and puts the version on the GPU again where
  /// it has left it for that. Returns whether anything was built or put there.
  bool rebuild();

  /// Counts again what the store has had since the version that serves was trained, popularity and
  /// transitions, as the interval does beside requests: for who opened with none and wants the
  /// scores of a server that has been up for a while. A full read of the histories or two.
  void recount();

  storage::Db& db();  ///< For learning, evaluation and batch work on the same store.
  /// What a ranking reads now (engine/pipeline.h): for evaluation, which brings its own histories.
  /// Keeps its version alive; must not outlive the engine.
  Snapshot snapshot();
  /// The same with another version than the one that serves, on the same device.
  Snapshot snapshot(const std::shared_ptr<LiveModel>& version);

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fovea::engine
