// Training again and again from a store that others write to: when a round has something to learn,
// and what it goes on from. Owns that decision; a training is learning's, the clock and the signals
// are its caller's.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "engine/learning.h"

namespace fovea::engine {

struct RelearnOptions {
  /// Of every training, `from` left empty; `stop` ends the round under way with Stopped.
  LearnOptions learn;
  /// Every so manieth training starts from nothing instead of the version that serves: going on
  /// takes a few epochs, and carries along what it learned of behaviours long gone. 1: all of them.
  std::size_t full_every = 10;
};

/// Not thread-safe.
class Relearning {
 public:
  /// Throws storage::StoreError where `data_directory` holds no store.
  Relearning(std::filesystem::path data_directory, RelearnOptions options);

  /// Trains and publishes if there is something that neither the version which serves nor the last
  /// round has learned from. Returns what came of it, a line for a log. Throws what learn() throws,
  /// but for NotPublished: such a version is left behind and the next training starts from nothing.
  std::string round(const std::function<void(const LearnProgress&)>& progress);

 private:
  /// What a training would read; equal where there is nothing new.
  struct Material {
    std::size_t users = 0, behaviours = 0;
    std::int64_t newest_ms = 0;
    std::uint64_t catalog_revision = 0;
    bool operator==(const Material&) const = default;
  };
  Material material() const;
  /// The version to go on from; empty: none, all is learned anew.
  std::string base(const std::optional<VersionCard>& current) const;

  std::filesystem::path data_directory_;
  RelearnOptions options_;
  std::optional<Material> refused_;  // what the last training read, if it was not published
};

}  // namespace fovea::engine
