#include "engine/assignment.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <stdexcept>
#include <string>

namespace fovea::engine {
namespace {

std::string joined(std::string_view salt, std::string_view unit) {
  return fmt::format("{}.{}", salt, unit);
}

}  // namespace

double planout_uniform(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha1(), nullptr) != 1) {
    throw std::runtime_error("SHA-1 is not available from OpenSSL");
  }
  std::uint64_t digits = 0;
  for (std::size_t i = 0; i < 8; ++i) digits = digits << 8 | digest[i];
  constexpr auto kDigitsMax = static_cast<double>(0xFFFFFFFFFFFFFFF);
  return static_cast<double>(digits >> 4) / kDigitsMax;  // 15 of the 16 digits
}

std::uint32_t fnv1a32(std::string_view text) {
  std::uint32_t hash = 2'166'136'261;
  for (const char byte : text) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * std::uint32_t{16'777'619};
  }
  return hash;
}

double growthbook_uniform(std::string_view salt, std::string_view unit) {
  const std::uint32_t first = fnv1a32(fmt::format("{}{}", salt, unit));
  return fnv1a32(fmt::format("{}", first)) % 10'000 / 10'000.0;
}

std::optional<std::size_t> assign(const Experiment& experiment, std::string_view unit) {
  const auto& variants = experiment.variants;
  if (experiment.hash == Hash::kGrowthBook) {
    const double n = growthbook_uniform(experiment.salt, unit);
    const double coverage = experiment.to - experiment.from;
    double before = 0;
    for (std::size_t k = 0; k < variants.size(); ++k) {
      if (n >= before && n < before + coverage * variants[k].weight) return k;
      before += variants[k].weight;
    }
    return std::nullopt;
  }
  const double place = planout_uniform(joined(experiment.layer, unit));
  if (place < experiment.from || place >= experiment.to) return std::nullopt;
  const double u = planout_uniform(joined(experiment.salt, unit));
  double cumulative = 0;
  std::optional<std::size_t> last;  // where rounding leaves the sum of the weights below u
  for (std::size_t k = 0; k < variants.size(); ++k) {
    if (variants[k].weight == 0) continue;
    cumulative += variants[k].weight;
    last = k;
    if (cumulative > u) break;
  }
  return last;
}

bool is_held_out(const Holdout& holdout, std::string_view unit) {
  return holdout.share > 0 && planout_uniform(joined(holdout.salt, unit)) < holdout.share;
}

}  // namespace fovea::engine
