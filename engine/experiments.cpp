#include "engine/experiments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>

namespace fovea::engine {
namespace {

constexpr double kWeightsOff = 1e-6;  // weights as people round them: .333333 three times

[[noreturn]] void fail_declaration(std::string_view field, const std::string& message) {
  throw InvalidRequest(std::string(field), message);
}

void check_range(const Experiment& experiment) {
  if (!(experiment.from >= 0 && experiment.from < 1)) {
    fail_declaration("from", fmt::format("from is {}; 0 to below 1 is expected", experiment.from));
  }
  if (!(experiment.to > experiment.from && experiment.to <= 1)) {
    fail_declaration("to", fmt::format("to is {}; above from, {}, and at most 1 is expected",
                                       experiment.to, experiment.from));
  }
}

void check_overrides(const Overrides& set) {
  if (set.candidates &&
      (*set.candidates < 1 || *set.candidates > static_cast<std::int32_t>(kCandidatesMax))) {
    fail_declaration("set.candidates", fmt::format("set.candidates is {}; 1 to {} is expected",
                                                   *set.candidates, kCandidatesMax));
  }
  if (set.model_version) validate_id(*set.model_version, "set.model_version");
  // What a request must keep, a variant's part of it must too.
  RankRequest request;
  request.user_id = "anyone";
  request.diversity = set.diversity.value_or(0);
  request.boosts = set.boosts;
  try {
    validate(request);
  } catch (const InvalidRequest& error) {
    fail_declaration("set." + error.field, fmt::format("set.{}", error.what()));
  }
}

void check_variants(const Experiment& experiment) {
  const auto& variants = experiment.variants;
  if (variants.size() < 2 || variants.size() > kVariantsMax) {
    fail_declaration("variant", fmt::format("there are {} variants; 2 to {} are expected",
                                            variants.size(), kVariantsMax));
  }
  std::set<std::string_view> names;
  double sum = 0;
  for (const Variant& variant : variants) {
    validate_id(variant.name, "variant.name");
    if (!names.insert(variant.name).second) {
      fail_declaration("variant.name", fmt::format("two variants are named '{}'", variant.name));
    }
    if (!(variant.weight >= 0 && variant.weight <= 1)) {
      fail_declaration("variant.weight", fmt::format("the weight of '{}' is {}; 0 to 1 is expected",
                                                     variant.name, variant.weight));
    }
    sum += variant.weight;
    check_overrides(variant.set);
  }
  if (std::abs(sum - 1) > kWeightsOff) {
    fail_declaration(
        "variant.weight",
        fmt::format("the weights of the variants add up to {:.6g}; 1 is expected", sum));
  }
}

void check_list(const Experiment& experiment) {
  if (experiment.interleave) {
    if (experiment.randomised) {
      fail_declaration(
          "randomised",
          "interleave and randomised are both set; a list can be made of two variants or be "
          "shuffled, and not both");
    }
    if (experiment.variants.size() != 2) {
      fail_declaration("interleave",
                       fmt::format("there are {} variants; a list is interleaved of 2",
                                   experiment.variants.size()));
    }
    for (const Variant& variant : experiment.variants) {
      if (variant.name != kInterleaved) continue;
      fail_declaration("variant.name",
                       fmt::format("a variant is named '{}', which is what answers call the "
                                   "list of both; name it otherwise",
                                   kInterleaved));
    }
  }
  if (!experiment.randomised) return;
  const Randomised& randomised = *experiment.randomised;
  if (!(randomised.share > 0 && randomised.share <= 1)) {
    fail_declaration("randomised.share",
                     fmt::format("randomised.share is {}; above 0 and at most 1 is "
                                 "expected",
                                 randomised.share));
  }
  if (randomised.first < 2 || randomised.first > kLimitMax) {
    fail_declaration("randomised.first",
                     fmt::format("randomised.first is {}; 2 to {} places are expected",
                                 randomised.first, kLimitMax));
  }
}

void check_interleaved(const Experiment& experiment, const Experiment& other) {
  // Of one layer nobody is in both.
  if (!experiment.interleave || !other.interleave || experiment.layer == other.layer) return;
  if (!times_meet(experiment, other)) return;
  fail_declaration("interleave",
                   fmt::format("'{}' of layer '{}' is interleaved too, and a unit may be in both "
                               "at one time; put them in one layer, or one after the other",
                               other.name, other.layer));
}

void check_layer(const Experiment& experiment, const Experiment& other) {
  if (experiment.layer != other.layer || !times_meet(experiment, other)) return;
  if (experiment.hash == Hash::kGrowthBook || other.hash == Hash::kGrowthBook) {
    fail_declaration(
        "layer", fmt::format("layer '{}' has '{}' already, and GrowthBook's hash spreads over all "
                             "of a layer whatever its range is; give one of them a layer of its "
                             "own",
                             experiment.layer, other.name));
  }
  if (experiment.from < other.to && other.from < experiment.to) {
    fail_declaration(
        "from", fmt::format("[{}, {}) of layer '{}' overlaps with [{}, {}) of '{}'; experiments "
                            "of a layer own disjoint parts of it",
                            experiment.from, experiment.to, experiment.layer, other.from, other.to,
                            other.name));
  }
}

}  // namespace

void validate(const Experiment& experiment, std::span<const Experiment> before) {
  if (before.size() >= kExperimentsMax) {
    fail_declaration("experiment",
                     fmt::format("there are more than {} experiments", kExperimentsMax));
  }
  validate_id(experiment.name, "name");
  validate_id(experiment.layer, "layer");
  validate_id(experiment.salt, "salt");
  if (experiment.success) validate_id(*experiment.success, "success");
  if (experiment.version < 1) {
    fail_declaration("version",
                     fmt::format("version is {}; 1 or more is expected", experiment.version));
  }
  if (experiment.guardrails.size() > kGuardrailsMax) {
    fail_declaration("guardrails", fmt::format("guardrails has {} entries; at most {} are allowed",
                                               experiment.guardrails.size(), kGuardrailsMax));
  }
  for (const std::string& guardrail : experiment.guardrails) validate_id(guardrail, "guardrails");
  check_range(experiment);
  if (experiment.start_ms && experiment.end_ms && *experiment.end_ms <= *experiment.start_ms) {
    fail_declaration("end", "end is not after start");
  }
  check_variants(experiment);
  check_list(experiment);
  for (const Experiment& other : before) {
    if (other.name == experiment.name) {
      fail_declaration("name", fmt::format("two experiments are named '{}'", experiment.name));
    }
    check_layer(experiment, other);
    check_interleaved(experiment, other);
  }
}

void validate(const Holdout& holdout) {
  if (!(holdout.share >= 0 && holdout.share < 1)) {
    fail_declaration("share", fmt::format("share is {}; 0 to below 1 is expected", holdout.share));
  }
  validate_id(holdout.salt, "salt");
}

bool is_running(const Experiment& experiment, std::int64_t now_ms) {
  return now_ms >= experiment.start_ms.value_or(now_ms) &&
         (!experiment.end_ms || now_ms < *experiment.end_ms);
}

bool times_meet(const Experiment& a, const Experiment& b) {
  constexpr auto kEver = std::numeric_limits<std::int64_t>::min();
  constexpr auto kNever = std::numeric_limits<std::int64_t>::max();
  return a.start_ms.value_or(kEver) < b.end_ms.value_or(kNever) &&
         b.start_ms.value_or(kEver) < a.end_ms.value_or(kNever);
}

}  // namespace fovea::engine
