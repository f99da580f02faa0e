// Scorer for programs with device_on_host.cpp's Device: its kernels walked on the host, so that a
// test runs all of what a GPU would be asked for where there is none.
#include <stdexcept>

#include "ranking/scorer.h"
#include "tests/device_memory.h"
#include "tests/scorer_host.h"

namespace fovea::ranking {

using device_memory::back;

struct Scorer::State {
  scorer::HostScorer host;

  std::vector<float> score(std::span<const ScorerRequest> requests,
                           const ScorerRetrieved* retrieved) {
    constexpr std::uint32_t kBlocks = 3;
    if (retrieved == nullptr) return host.score(requests, kBlocks);
    const ScorerRetrieved here{back(retrieved->rows), back(retrieved->similarities),
                               back(retrieved->states), retrieved->count, retrieved->centre_k};
    return host.score(requests, kBlocks, &here);
  }
};

Scorer::Scorer(Device& /*device*/, const RankerWeights& weights, const ItemRelations& relations,
               const ScorerItems& items, std::size_t items_max, ScorerPrecision precision)
    : state_(new State{
          {weights, relations, items, items_max, precision == ScorerPrecision::kBfloat16}}) {}
Scorer::~Scorer() = default;

void Scorer::put(std::size_t first, const ScorerItems& items) { state_->host.put(first, items); }
void Scorer::put_since(const Transitions* since) { state_->host.put_since(since); }

void Scorer::score(std::span<const ScorerRequest> requests, std::span<float> scores,
                   const ScorerRetrieved* retrieved) {
  const std::vector<float> all = state_->score(requests, retrieved);
  if (all.size() != scores.size()) throw std::invalid_argument("scores of another size");
  std::ranges::copy(all, scores.begin());
}

std::vector<std::vector<ScorerBest>> Scorer::best(std::span<const ScorerRequest> requests,
                                                  std::size_t n, const ScorerRetrieved* retrieved) {
  if (n > scorer::kTopMax) throw std::invalid_argument("more than 1024 best asked of the scorer");
  const std::vector<float> scores = state_->score(requests, retrieved);
  const std::size_t on_device = retrieved != nullptr ? retrieved->count : 0;
  std::vector<std::vector<ScorerBest>> result;
  std::size_t first = 0;
  for (const ScorerRequest& request : requests) {
    const std::size_t candidates = on_device + request.candidates.size();
    const std::span rows = state_->host.candidates().subspan(first, candidates);
    auto& best = result.emplace_back();
    for (const std::uint64_t key :
         scorer::host_best(std::span(scores).subspan(first, candidates), n)) {
      if (key == scorer::kNoKey) break;
      const std::uint32_t c = scorer::candidate_of(key);
      best.push_back({rows[c], c, scorer::score_of(key)});
    }
    first += candidates;
  }
  return result;
}

ScorerTimes Scorer::repeat(int /*times*/) { return {}; }
std::size_t Scorer::device_bytes() const { return 0; }

}  // namespace fovea::ranking
