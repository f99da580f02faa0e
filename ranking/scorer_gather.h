// What a search left in the device's memory becomes part of the block: candidates, states and
// centres, so that whatever comes after reads a batch as if the host had packed all of it. The same
// functions on the host and on the device; a lane does every `lanes`-th piece of one user.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ranking/scorer_layout.h"
#include "ranking/scorer_pack.h"
#include "ranking/scorer_pairs.h"

namespace fovea::ranking::scorer {

/// The candidates of `user`, those retrieved before those given, and its state, padded.
FOVEA_BOTH inline void gather(std::byte* block, std::uint32_t user, unsigned lane, unsigned lanes) {
  const BlockView view(block);
  const BlockHeader& header = *view.header;
  const ScorerRetrieved& retrieved = header.retrieved;
  const std::size_t first = view.users()[user].first_candidate;
  const std::size_t candidates = view.users()[user].candidates;
  const std::size_t before = std::size_t{user} * retrieved.count;  // retrieved, of earlier users
  const std::uint32_t* found = retrieved.rows + before;
  const std::uint32_t* given = view.at<std::uint32_t>(header.given_at) + (first - before);
  auto* rows = reinterpret_cast<std::uint32_t*>(block + header.candidate_at) + first;
  for (std::size_t i = lane; i < candidates; i += lanes) {
    rows[i] = i < retrieved.count ? found[i] : given[i - retrieved.count];
  }
  const std::size_t padded = round_up(header.width, kChannels);
  auto* state = reinterpret_cast<float*>(block + header.state_at) + user * padded;
  for (std::size_t d = lane; d < padded; d += lanes) {
    state[d] = d < header.width ? retrieved.states[user * header.width + d] : 0;
  }
}

/// What some of the first similarities add to a user's centre; any two without a common one merge.
struct CentreSum {
  float sum = 0;
  std::uint32_t count = 0;

  FOVEA_BOTH void merge(const CentreSum& other) {
    sum += other.sum;
    count += other.count;
  }
};

FOVEA_BOTH inline CentreSum centre_sum(const std::byte* block, std::uint32_t user, unsigned lane,
                                       unsigned lanes) {
  const ScorerRetrieved& retrieved = BlockView(block).header->retrieved;
  const std::size_t first = std::size_t{user} * retrieved.count;
  const std::size_t end =
      retrieved.centre_k < retrieved.count ? retrieved.centre_k : retrieved.count;
  CentreSum centre;
  for (std::size_t i = lane; i < end; i += lanes) {
    if (retrieved.rows[first + i] != kNoRow) centre.merge({retrieved.similarities[first + i], 1});
  }
  return centre;
}

FOVEA_BOTH inline void set_centre(std::byte* block, std::uint32_t user, const CentreSum& all) {
  auto* users = reinterpret_cast<User*>(block + BlockView(block).header->user_at);
  users[user].centre = all.count == 0 ? 0 : all.sum / static_cast<float>(all.count);
}

}  // namespace fovea::ranking::scorer
