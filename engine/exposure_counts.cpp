#include "engine/exposure_counts.h"

namespace fovea::engine {

ExposureCounts::ExposureCounts(const Experiments& experiments, const ExposureCounts& before) {
  const auto declare = [&](const std::string& experiment, std::string_view variant) {
    const Count* known = before.find(experiment, variant);
    counts_[experiment].emplace(
        variant, known != nullptr ? *known : std::make_shared<std::atomic<std::uint64_t>>(0));
  };
  for (const Experiment& experiment : experiments.list) {
    if (experiment.interleave) {
      declare(experiment.name, kInterleaved);
      continue;
    }
    for (const Variant& variant : experiment.variants) declare(experiment.name, variant.name);
  }
}

void ExposureCounts::add(std::string_view experiment, std::string_view variant) const {
  if (const Count* count = find(experiment, variant)) ++**count;
}

std::vector<VariantExposures> ExposureCounts::list() const {
  std::vector<VariantExposures> list;
  for (const auto& [experiment, variants] : counts_) {
    for (const auto& [variant, count] : variants) list.push_back({experiment, variant, *count});
  }
  return list;
}

const ExposureCounts::Count* ExposureCounts::find(std::string_view experiment,
                                                  std::string_view variant) const {
  const auto of = counts_.find(experiment);
  if (of == counts_.end()) return nullptr;
  const auto count = of->second.find(variant);
  return count == of->second.end() ? nullptr : &count->second;
}

}  // namespace fovea::engine
