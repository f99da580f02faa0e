// Without CUDA there is no Device to make a Scorer with. See scorer.h; scorer.cu is the real one.
#include "ranking/scorer.h"

namespace fovea::ranking {

struct Scorer::State {};

Scorer::Scorer(Device& /*device*/, const RankerWeights& /*weights*/,
               const ItemRelations& /*relations*/, const ScorerItems& /*items*/,
               std::size_t /*items_max*/, ScorerPrecision /*precision*/) {
  throw DeviceError("no GPU can be used: " + device_count().reason);
}
Scorer::~Scorer() = default;

// Nobody has a Scorer to call these on.
void Scorer::put(std::size_t /*first*/, const ScorerItems& /*items*/) {}
void Scorer::put_since(const Transitions* /*since*/) {}
void Scorer::score(std::span<const ScorerRequest> /*requests*/, std::span<float> /*scores*/,
                   const ScorerRetrieved* /*retrieved*/) {}
std::vector<std::vector<ScorerBest>> Scorer::best(std::span<const ScorerRequest> /*requests*/,
                                                  std::size_t /*n*/,
                                                  const ScorerRetrieved* /*retrieved*/) {
  return {};
}
ScorerTimes Scorer::repeat(int /*times*/) { return {}; }
std::size_t Scorer::device_bytes() const { return 0; }

}  // namespace fovea::ranking
