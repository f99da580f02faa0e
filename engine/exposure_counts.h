// How many lists of each variant were written down as exposures since the start, for whoever
// watches an experiment between two reports. Owns the numbers; what is an exposure is
// engine/trials' to say.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine_figures.h"
#include "engine/experiments.h"

namespace fovea::engine {

/// Thread-safe. There are as many numbers as variants are declared, and an interleaved experiment
/// has one, kInterleaved's.
class ExposureCounts {
 public:
  ExposureCounts() = default;  ///< Of no experiment.
  /// Goes on with what `before` counts of the same names, also by requests that still count there.
  ExposureCounts(const Experiments& experiments, const ExposureCounts& before);

  /// One more; nothing where no such variant is declared.
  void add(std::string_view experiment, std::string_view variant) const;

  std::vector<VariantExposures> list() const;  ///< By experiment and variant.

 private:
  using Count = std::shared_ptr<std::atomic<std::uint64_t>>;
  const Count* find(std::string_view experiment, std::string_view variant) const;

  std::map<std::string, std::map<std::string, Count, std::less<>>, std::less<>> counts_;
};

}  // namespace fovea::engine
