// What is being tried: experiments as declared, their variants and what each changes about a
// request. Owns the shapes and the rules that a declaration must keep; api/experiments_config reads
// it from TOML, engine/assignment says who is in which variant.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace fovea::engine {

enum class IndexKind : std::uint8_t { kExact, kApproximate };

/// What a variant changes; absent: as without the experiment.
struct Overrides {
  std::optional<bool> ranker;              ///< false: in the order of retrieval.
  std::optional<std::int32_t> candidates;  ///< Retrieved before they are ranked.
  std::optional<std::string> model_version;
  std::optional<double> diversity;
  std::vector<Boost> boosts;  ///< Beside those of the request.
  std::optional<IndexKind> index;
  bool operator==(const Overrides&) const = default;
};

struct Variant {
  std::string name;
  double weight = 0;  ///< Share of the experiment's units.
  Overrides set;
  bool operator==(const Variant&) const = default;
};

/// Of some responses the first places are in a uniformly random order, so that what another policy
/// would have earned can be estimated from what was shown.
struct Randomised {
  double share = 0;        ///< Of the requests of the experiment's units, above 0 to 1.
  std::int32_t first = 0;  ///< Places, 2 to kLimitMax.
  bool operator==(const Randomised&) const = default;
};

enum class Unit : std::uint8_t { kUser, kSession };
enum class Hash : std::uint8_t { kPlanOut, kGrowthBook };

// As declarations, reports and the console spell them.
template <typename Choice>
using Names = std::array<std::pair<std::string_view, Choice>, 2>;
inline constexpr Names<IndexKind> kIndexKinds = {
    {{"exact", IndexKind::kExact}, {"approximate", IndexKind::kApproximate}}};
inline constexpr Names<Unit> kUnits = {{{"user_id", Unit::kUser}, {"session", Unit::kSession}}};
inline constexpr Names<Hash> kHashes = {
    {{"planout", Hash::kPlanOut}, {"growthbook", Hash::kGrowthBook}}};

template <typename Choice>
constexpr std::string_view name_in(const Names<Choice>& names, Choice choice) {
  return names[0].second == choice ? names[0].first : names[1].first;
}

struct Experiment {
  std::string name;
  std::int32_t version = 1;  ///< Raised when variants change, so that old exposures stay apart.
  std::string layer;
  double from = 0;  ///< Its part of the layer, [from, to).
  double to = 1;
  Unit unit = Unit::kUser;
  Hash hash = Hash::kPlanOut;
  std::string salt;
  std::optional<std::string> success;    ///< Action that counts; absent: who reports must name one.
  std::vector<std::string> guardrails;   ///< Actions that must not get worse.
  std::optional<std::int64_t> start_ms;  ///< Milliseconds since 1970; absent: since ever.
  std::optional<std::int64_t> end_ms;    ///< Not included; absent: until it is taken out.
  std::vector<Variant> variants;         ///< The first is the control.
  /// Every unit gets one list that two variants make together (engine/interleaving.h).
  bool interleave = false;
  std::optional<Randomised> randomised;
  bool operator==(const Experiment&) const = default;
};

/// Units that are in no experiment, so that all of them together can be judged.
struct Holdout {
  double share = 0;  ///< Of all units, 0 to below 1.
  std::string salt = "holdout";
  bool operator==(const Holdout&) const = default;
};

struct Experiments {
  Holdout holdout;
  std::vector<Experiment> list;
  bool operator==(const Experiments&) const = default;
};

// Limits of one declaration.
inline constexpr std::size_t kExperimentsMax = 1000;
inline constexpr std::size_t kVariantsMax = 100;
inline constexpr std::size_t kGuardrailsMax = 100;

/// What stands in a variant's place where the list was interleaved.
inline constexpr std::string_view kInterleaved = "interleaved";

/// Of one experiment, beside those declared before it. Throws InvalidRequest with the key as field
/// and one sentence: a name missing, too long or taken, a range that is none or outside [0, 1],
/// fewer than two variants, weights that are negative or do not add up to 1 within 1e-6, an end
/// that is not after the start, a value that a request could not have, or units that would be in
/// two experiments of one layer, or two interleaved ones, at one time. GrowthBook's hash knows no
/// layers, so an experiment with it must have its layer to itself.
void validate(const Experiment& experiment, std::span<const Experiment> before);
void validate(const Holdout& holdout);

bool is_running(const Experiment& experiment, std::int64_t now_ms);

/// Whether there is a moment at which both run.
bool times_meet(const Experiment& a, const Experiment& b);

}  // namespace fovea::engine
