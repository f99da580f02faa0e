// The versions in memory: the one that serves, and beside it those that experiments name. Owns when
// one is loaded, swapped, moved to a GPU, built anew and let go of, and that each follows the
// catalogue; what a version is on the disk is engine/models', what it is in memory
// engine/live_model's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/encoded_items.h"
#include "engine/experiments.h"
#include "engine/exposure_counts.h"
#include "engine/fresh_transitions.h"
#include "engine/live_model.h"
#include "engine/models.h"
#include "index/generational_index.h"
#include "storage/db.h"

namespace fovea::engine {

class Gpu;

/// A version in memory.
struct LiveVersion {
  std::shared_ptr<LiveModel> model;
  std::shared_ptr<FreshTransitions> transitions;
  /// Null: no experiment names it, and its folder may be deleted.
  std::shared_ptr<const Versions::Lock> kept;
};

/// What a request is answered with. Replaced as a whole, so that no request sees an experiment
/// without its versions.
struct Serving {
  std::shared_ptr<LiveModel> current;  ///< Null: no version yet.
  std::vector<LiveVersion> versions;   ///< The current one and those that experiments name.
  std::shared_ptr<const Experiments> experiments = std::make_shared<Experiments>();
  std::shared_ptr<const ExposureCounts> exposures = std::make_shared<ExposureCounts>();

  // Null: it is not in memory.
  const LiveVersion* find(std::string_view version) const;
  const LiveVersion* find(const LiveModel* model) const;
};

/// Thread-safe. Readers of serving() wait for nobody.
class LiveVersions {
 public:
  /// `gpu` (null: none) and `db` must outlive it.
  LiveVersions(storage::Db& db, const std::filesystem::path& data_directory, Gpu* gpu,
               const index::RebuildOptions& rebuild);

  std::shared_ptr<const Serving> serving() const;

  /// Held by whoever changes the catalogue, so that every version that ranks has seen every put
  /// that returned; put() and remove() are for them.
  std::unique_lock<std::mutex> changing() { return std::unique_lock(catalogue_changes_); }
  /// The same for who puts `items`, which every version in memory has read by then. They are
  /// encoded before the lock is taken, and again where a version or a text changed in between.
  std::unique_lock<std::mutex> changing(EncodedItems& items);
  /// `rows` of the items that changing() was called with.
  void put(std::span<const std::uint32_t> rows, const EncodedItems& items);
  void remove(std::span<const std::uint32_t> rows);

  /// Serves what CURRENT names, if anything. Throws VersionError.
  void open();
  bool reload();                                         ///< As Engine has it.
  void roll_back(std::string_view to);                   ///< As Engine has it.
  void set_experiments(const Experiments& experiments);  ///< As Engine has it.
  bool rebuild(const std::stop_token& stop = {});        ///< As Engine has it.
  /// Where there is a GPU. A version that is to serve and does not fit beside the one that does
  /// gets that one's place.
  void move_to_gpu(LiveModel& next, bool to_serve);

  void changed();             ///< Behaviours were recorded or deleted.
  void update_transitions();  ///< FreshTransitions::update() of each; one thread at a time.

 private:
  /// A version as the catalogue was at `revision`, or later.
  struct Loaded {
    LiveVersion live;
    std::uint64_t revision = 0;
  };
  Loaded load(Version version, bool to_serve);
  void serve(std::string_view version);
  void swap(Serving next, std::span<Loaded> loaded);
  std::uint64_t catch_up(std::span<Loaded> loaded);
  bool rebuild(const std::shared_ptr<LiveModel>& live, bool serves, const std::stop_token& stop);

  storage::Db& db_;
  const Versions versions_;
  Gpu* const gpu_;
  const index::RebuildOptions rebuild_;
  std::mutex catalogue_changes_;
  std::mutex gpu_moves_;  // one version at a time
  std::mutex swaps_;      // one change of versions at a time; guards `refused_`
  std::string refused_;   // the version, or the complaint about CURRENT, that was logged last
  mutable std::mutex serving_mutex_;  // guards the pointer only
  std::shared_ptr<const Serving> serving_ = std::make_shared<Serving>();
};

}  // namespace fovea::engine
