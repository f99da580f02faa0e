// What was shown to whom: one record per response to a stored user, kept until exposure_days_max,
// and one more where it was part of experiments, kept until trial_days_max. Owns the bytes; when
// an exposure is written is the engine's decision.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::storage {

/// An experiment that a response was part of. Names are at most kIdBytesMax bytes.
struct Trial {
  std::string experiment;
  std::int32_t version = 0;  ///< The declaration's.
  std::string variant;
  /// By shown item: how probable it was that it stands where it does; empty: it was certain.
  std::vector<float> propensities;
  /// By shown item, of an interleaved list: the place of the variant among those declared that
  /// brought it in, or kNoTeam; empty: not interleaved.
  std::vector<std::uint8_t> teams;
};

inline constexpr std::uint8_t kNoTeam = 255;

struct Exposure {
  std::string request_id;
  std::int64_t time_ms = 0;
  std::string model_version;
  std::vector<std::uint32_t> rows;  ///< Shown items, top first; at most 65,535.
  std::vector<Trial> trials;        ///< Empty: part of no experiment.
};

/// Obtained from Db; thread-safe.
class Exposures {
 public:
  /// Survives a crash of the process at once, a crash of the machine from the next synced write on:
  /// losing the last second of exposures is accepted, waiting for the disk in every rank is not.
  void append(std::string_view user_id, const Exposure& exposure);

  /// Newest first, without their trials.
  std::vector<Exposure> read(std::string_view user_id, std::size_t limit) const;

  /// Those that were part of experiments: user by user, the newest of each first. An erasure waits
  /// until it returns.
  void each_in_trials(
      const std::function<void(std::string_view user_id, Exposure exposure)>& take) const;

  struct State;
  explicit Exposures(State& state) : state_(state) {}

 private:
  State& state_;
};

}  // namespace fovea::storage
