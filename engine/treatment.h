// What the experiments that run make of one request: which of them it is part of, by which variants
// it is served, and what those change. Owns the rules between experiments: holdout, one of a layer,
// force, and who wins where two set the same. Ranks nothing and writes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/experiments.h"
#include "engine/pipeline.h"
#include "engine/request.h"

namespace fovea::engine {

/// Points into the experiments and the request that it was made of.
struct Treatment {
  struct Part {
    const Experiment* experiment = nullptr;
    std::size_t variant = 0;  ///< Place among those declared; of no meaning when interleaved.
    bool forced = false;
    std::string_view unit;  ///< Empty where it is forced upon a request without one.

    bool interleaved() const { return experiment->interleave && !forced; }
  };
  std::vector<Part> parts;  ///< In the order declared.

  const Part* interleaved() const;  ///< Null: one list.
  /// Of all parts together; `team` is the variant of the interleaved one. Where two set the same,
  /// what the first sets counts; boosts add up.
  Overrides overrides(std::size_t team = 0) const;
  std::map<std::string, std::string> variants() const;  ///< As the response has them.
};

/// Of the experiments that run at `now_ms`, those whose unit the request has, whose variants it is
/// assigned and which do not hold it out; of a layer, where users and sessions may share one, the
/// first. One that RankRequest::variants forces is served whether it runs or not, whoever asks, and
/// has its layer to itself. Throws InvalidRequest "variants" for what is not declared.
Treatment treatment_of(const Experiments& experiments, const RankRequest& request,
                       std::int64_t now_ms);

/// Whether an experiment can have changed the answer to this request, so that a trial is written.
/// Judged of what any of its variants sets and not of the unit's own, because otherwise one arm
/// would be counted on other requests than the other:
///   ranker, model_version  every request
///   candidates             unless the request names its candidates
///   index                  also only where there is a version and a query or behaviour
///   diversity              where the request sets none, and there is a version
///   boosts                 where one matches what the filter and the named candidates leave
/// What an experiment declared before has already set counts for that one alone. An experiment that
/// sets nothing compares a thing with itself, on every request. `snapshot` is that of the version
/// that serves.
bool bears_on(const Treatment& treatment, const Treatment::Part& part, const Snapshot& snapshot,
              const RankRequest& request, const Question& question);

/// Sentences about experiments of different layers that set the same for one unit.
std::vector<std::string> conflicts(const Experiments& experiments);

}  // namespace fovea::engine
