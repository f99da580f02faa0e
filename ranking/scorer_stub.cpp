// Without CUDA there is no Scorer: everything says so. See scorer.h; scorer.cu is the real one.
#include "ranking/scorer.h"

namespace fovea::ranking {
namespace {

constexpr const char* kReason = "this build has no GPU code: nvcc was not found when it was made";

}  // namespace

struct Scorer::State {};

std::optional<std::string> scorer_unavailable() { return kReason; }

Scorer::Scorer(const RankerWeights& /*weights*/, const ItemRelations& /*relations*/,
               const ScorerItems& /*items*/, std::size_t /*items_max*/,
               ScorerPrecision /*precision*/) {
  throw ScorerError(kReason, false);
}
Scorer::~Scorer() = default;

// Nobody has a Scorer to call these on.
void Scorer::put(std::size_t /*first*/, const ScorerItems& /*items*/) {}
void Scorer::put_since(const Transitions* /*since*/) {}
void Scorer::score(std::span<const ScorerRequest> /*requests*/, std::span<float> /*scores*/,
                   const std::uint32_t* /*device_rows*/) {}
std::vector<std::vector<ScorerBest>> Scorer::best(std::span<const ScorerRequest> /*requests*/,
                                                  std::size_t /*n*/,
                                                  const std::uint32_t* /*device_rows*/) {
  return {};
}
ScorerTimes Scorer::repeat(int /*times*/) { return {}; }
std::size_t Scorer::device_bytes() const { return 0; }

}  // namespace fovea::ranking
