// What was shown to whom: one record per response to a stored user, kept until exposure_days_max.
// Owns the bytes; when an exposure is written is the engine's decision.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::storage {

struct Exposure {
  std::string request_id;
  std::int64_t time_ms = 0;
  std::string model_version;
  std::vector<std::uint32_t> rows;  ///< Shown items, top first.
};

/// Obtained from Db; thread-safe.
class Exposures {
 public:
  /// Survives a crash of the process at once, a crash of the machine from the next synced write on:
  /// losing the last second of exposures is accepted, waiting for the disk in every rank is not.
  void append(std::string_view user_id, const Exposure& exposure);

  /// Newest first.
  std::vector<Exposure> read(std::string_view user_id, std::size_t limit) const;

  struct State;
  explicit Exposures(State& state) : state_(state) {}

 private:
  State& state_;
};

}  // namespace fovea::storage
