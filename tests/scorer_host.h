// The scorer's kernels on the host: blocks, warps and lanes one after another, over the same block
// of bytes, tiles, pairs and merges as on a device. Only what separates lanes is written anew here:
// barriers are the ends of loops, shuffles are reads of a neighbour's array entry. In float.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include "ranking/scorer_gather.h"
#include "ranking/scorer_pack.h"
#include "ranking/scorer_pairs.h"
#include "ranking/scorer_tile.h"
#include "ranking/scorer_top.h"
#include "tests/scorer_case.h"

namespace fovea::ranking::scorer {

class HostScorer {
 public:
  /// `bfloat16`: what a kernel in bfloat16 reads is rounded as it rounds it; sums stay in float.
  HostScorer(const RankerWeights& weights, const ItemRelations& relations, const ScorerItems& items,
             std::size_t items_max, bool bfloat16)
      : weights_(weights),
        items_(static_cast<std::uint32_t>(items_max)),
        packer_(weights),
        constants_(constants_of(weights)),
        mlp_(pack_mlp(weights)),
        transitions_(pack_pairs(relations.transitions, items_)),
        ease_(pack_pairs(relations.ease, items_)),
        bank_((items_max + 1) * packer_.shape().row()),
        lengths_(items_max + 1),
        log_popularity_(items_max + 1),
        bfloat16_(bfloat16) {
    put(0, items);
    put_since(relations.since);
    if (bfloat16) {
      round(mlp_.weights1);
      round(mlp_.weights2);
    }
  }
  explicit HostScorer(const ScorerCase& made, bool bfloat16 = false)
      : HostScorer(made.weights, made.relations(), made.catalogue(), made.items, bfloat16) {}

  void put(std::size_t first, const ScorerItems& items) {
    const std::size_t n = items.log_popularity.size();
    const std::size_t row = packer_.shape().row();
    if (first + n > items_) throw std::invalid_argument("items beyond the bank");
    const auto rows = std::span(bank_).subspan(first * row, n * row);
    packer_.pack(Context{}, items.vectors, items.texts, rows,
                 std::span(lengths_).subspan(first, n));
    std::ranges::copy(items.log_popularity,
                      log_popularity_.begin() + static_cast<std::ptrdiff_t>(first));
    if (bfloat16_) round(rows);
  }

  void put_since(const Transitions* since) {
    since_ = since == nullptr ? PackedPairs{} : pack_pairs(*since, items_);
  }

  /// As if the device had `blocks` blocks. What was retrieved is in the host's memory.
  std::vector<float> score(std::span<const ScorerRequest> requests, std::uint32_t blocks,
                           const ScorerRetrieved* retrieved = nullptr) {
    bytes_ = pack_requests(weights_, items_, requests, 0, retrieved);
    const BlockView uploaded(bytes_.data());
    bytes_.resize(uploaded.header->size, std::byte{0xFF});
    const BlockView block(bytes_.data());
    if (retrieved != nullptr) gather_retrieved(block.header->users);
    bits_.assign(block.header->words, 0);
    earlier_.assign(block.header->candidates, 0);
    // Poison: what no bit covers must not be read, and every score must be written.
    pairs_.assign(block.header->pairs, {NAN, NAN});
    scores_.assign(block.header->candidates, NAN);
    for (std::uint32_t g = 0; g < block.header->groups; ++g) find_pairs(block, block.groups()[g]);
    for (std::uint32_t b = 0; b < blocks; ++b) {
      const TileRun run = run_of(block.header->tiles, b, blocks);
      for (std::uint32_t t = run.begin; t < run.end; ++t) {
        switch (packer_.shape().heads) {
          case 2:
            score_tile<2>(block, block.tiles()[t]);
            break;
          case 4:
            score_tile<4>(block, block.tiles()[t]);
            break;
          default:
            score_tile<8>(block, block.tiles()[t]);
        }
      }
    }
    return scores_;
  }

  /// Rows of the last call, request after request, as its kernels read them.
  std::span<const std::uint32_t> candidates() const {
    const BlockView block(bytes_.data());
    return {block.candidates(), block.header->candidates};
  }

 private:
  static float rounded(float value) { return from_bfloat16(to_bfloat16(value)); }
  static void round(std::span<float> values) {
    for (float& x : values) x = rounded(x);
  }

  void gather_retrieved(std::uint32_t users) {
    for (std::uint32_t u = 0; u < users; ++u) {
      for (unsigned thread = 0; thread < kThreads; ++thread) {
        gather(bytes_.data(), u, thread, kThreads);
      }
      std::array<CentreSum, 32> lanes;
      for (unsigned lane = 0; lane < 32; ++lane) {
        lanes[lane] = centre_sum(bytes_.data(), u, lane, 32);
      }
      for (unsigned mask = 1; mask < 32; mask *= 2) {  // each lane with another, at once
        const auto before = lanes;
        for (unsigned lane = 0; lane < 32; ++lane) lanes[lane].merge(before[lane ^ mask]);
      }
      set_centre(bytes_.data(), u, lanes[0]);
    }
  }

  float interaction_of(std::span<const float, kFeaturesMax> features) const {
    if (!bfloat16_) return mlp_score(mlp_.view(), features.data());
    std::vector<float> hidden(mlp_.bias1);
    for (std::size_t i = 0; i < hidden.size(); ++i) {
      for (unsigned f = 0; f < kFeaturesMax; ++f) {
        hidden[i] += mlp_.weights1[i * kFeaturesMax + f] * rounded(features[f]);
      }
      hidden[i] = rounded(std::max(hidden[i], 0.0F));
    }
    float score = 0;
    for (std::size_t o = 0; o < mlp_.hidden2; ++o) {
      float unit = mlp_.bias2[o];
      for (std::size_t i = 0; i < hidden.size(); ++i) {
        unit += mlp_.weights2[o * mlp_.hidden1 + i] * hidden[i];
      }
      score += std::max(unit, 0.0F) * mlp_.out[o];
    }
    return score;
  }

  template <typename Meet>
  static void for_each_entry(const PackedPairs& pairs, std::uint32_t source, const Meet& meet) {
    const PairsView view = pairs.view();
    if (source >= view.sources) return;
    for (std::uint32_t i = view.offsets[source]; i < view.offsets[source + 1]; ++i) {
      meet(view.rows[i], view.weights[i]);
    }
  }

  void find_pairs(const BlockView& block, const PairGroup& group) {
    const User& user = block.users()[group.user];
    const std::uint32_t* candidates = block.candidates() + user.first_candidate;
    const std::uint32_t words = bit_words(user.behaviours);
    const std::uint32_t earlier = user.sources - user.behaviours;
    const auto set_bit = [&](std::size_t word, std::uint32_t bit) {
      std::uint32_t& of = bits_[user.first_word + word];
      const bool was = (of & bit) != 0;
      of |= bit;
      return was;
    };
    for (std::uint32_t chunk = 0; chunk < user.candidates; chunk += kTableCandidates) {
      std::vector<std::uint32_t> rows(kTableSlots, kNoRow);
      std::vector<std::uint16_t> places(kTableSlots);
      for (std::uint32_t c = chunk; c < std::min(user.candidates, chunk + kTableCandidates); ++c) {
        if (candidates[c] >= items_) continue;
        std::uint32_t slot = slot_of(candidates[c]);
        while (rows[slot] != kNoRow) slot = next_slot(slot);
        rows[slot] = candidates[c];
        places[slot] = static_cast<std::uint16_t>(c - chunk);
      }
      for (std::uint32_t s = group.first; s < std::min(user.sources, group.first + kPairGroup);
           ++s) {
        const Source& source = block.sources()[user.first_source + s];
        const auto add = [&](const PackedPairs& of, bool transition) {
          for_each_entry(of, source.row, [&](std::uint32_t row, float weight) {
            find(rows.data(), places.data(), row, [&](std::uint32_t c) {
              if (s < earlier) {
                earlier_[user.first_candidate + chunk + c] += to_fixed(weight);
              } else {
                add_pair(pairs_.data() + user.first_pair, words, user.behaviours, chunk + c,
                         s - earlier, transition ? PairValues{weight, 0} : PairValues{0, weight},
                         set_bit);
              }
            });
          });
        };
        if (s >= earlier) {
          add(transitions_, true);
          add(since_, true);
        }
        if (s < earlier || source.positive != 0) add(ease_, false);
      }
    }
  }

  template <unsigned H>
  void score_tile(const BlockView& block, const Tile& tile) {
    const BankShape& shape = packer_.shape();
    const User& user = block.users()[tile.user];
    const BehaviourTerms* behaviours = block.behaviours() + user.first_behaviour;
    const std::uint32_t* rows = block.candidates() + user.first_candidate + tile.first;
    const std::uint32_t count = std::min(kTile, user.candidates - tile.first);
    const PairReader reader{bits_.data() + user.first_word, pairs_.data() + user.first_pair,
                            bit_words(user.behaviours), user.behaviours};
    auto merged = std::make_unique<std::array<std::array<Sums<H>, kTile>, 2>>();
    for (unsigned warp = 0; warp < kWarps; ++warp) {
      std::array<std::array<Sums<H>, kLaneRows>, 32> of_lanes;
      for (unsigned lane = 0; lane < 32; ++lane) {
        const float* a[kLaneRows];
        float lengths[kLaneRows];
        std::uint32_t candidates[kLaneRows];
        Sums<H> sums[kLaneRows];
        for (unsigned r = 0; r < kLaneRows; ++r) {
          const unsigned i = warp_candidate(warp) + lane_row(lane, r);
          const std::uint32_t row = bank_row(rows, i, count, items_);
          a[r] = bank_.data() + std::size_t{row} * shape.row() + shape.candidate();
          lengths[r] = lengths_[row];
          candidates[r] = tile.first + std::min(i, count - 1);
          sums[r].clear();
        }
        for (std::uint32_t pass = 0; pass < user.behaviours; pass += pass_columns(H)) {
          const std::uint32_t first = pass + warp_column(H, warp);
          if (first >= user.behaviours) break;
          const float* b[2 * column_blocks(H)];
          for (unsigned c = 0; c < 2 * column_blocks(H); ++c) {
            const std::uint32_t j = std::min(first + pass_column(lane, c), user.behaviours - 1);
            b[c] = bank_.data() + std::size_t{behaviours[j].row} * shape.row();
          }
          Products<H> products;
          multiply(shape, a, b, products);
          add_pass(constants_, behaviours, user.behaviours, lane, first, lengths, candidates,
                   reader, products, sums);
        }
        std::copy_n(sums, kLaneRows, of_lanes[lane].begin());
      }
      for (const unsigned mask : {1U, 2U}) {  // each lane with the lane beside it, at once
        const auto before = of_lanes;
        for (unsigned lane = 0; lane < 32; ++lane) {
          for (unsigned r = 0; r < kLaneRows; ++r) {
            of_lanes[lane][r].merge(before[lane ^ mask][r]);
          }
        }
      }
      for (unsigned lane = 0; lane < 32; ++lane) {
        const unsigned row = warp_candidate(warp) + lane_row(lane, lane % 4);
        (*merged)[warp / 4][row] = of_lanes[lane][lane % 4];
      }
    }
    for (unsigned i = 0; i < count; ++i) {
      const std::uint32_t row = bank_row(rows, i, count, items_);
      const float* unit = bank_.data() + std::size_t{row} * shape.row() + shape.candidate();
      const float* state = block.states() + std::size_t{tile.user} * shape.width;
      CandidateTerms terms;
      terms.retrieval =
          inner_product(unit, state, shape.width, i % 32) * lengths_[row] - user.centre;
      terms.log_popularity = log_popularity_[row];
      terms.earlier_ease = from_fixed(earlier_[user.first_candidate + tile.first + i]);
      Sums<H> sums = (*merged)[0][i];
      sums.merge((*merged)[1][i]);
      float features[kFeaturesMax];
      features_of(constants_, sums, terms, user.behaviours, features);
      scores_[user.first_candidate + tile.first + i] =
          rows[i] < items_ ? linear_part(constants_, features) + interaction_of(features)
                           : -INFINITY;
    }
  }

  RankerWeights weights_;
  std::uint32_t items_;
  BankPacker packer_;
  RankerConstants constants_;
  PackedMlp mlp_;
  PackedPairs transitions_, since_, ease_;
  std::vector<float> bank_, lengths_, log_popularity_;
  bool bfloat16_;
  std::vector<std::byte> bytes_;
  std::vector<std::uint32_t> bits_;
  std::vector<std::int64_t> earlier_;
  std::vector<PairValues> pairs_;
  std::vector<float> scores_;
};

/// The n best keys of one request, as the kernel keeps them.
inline std::vector<std::uint64_t> host_best(std::span<const float> scores, std::size_t n) {
  std::vector<std::uint64_t> keys(kSorted, kNoKey);
  for (std::size_t first = 0; first < scores.size(); first += kTopMax) {
    for (std::uint32_t i = 0; i < kTopMax; ++i) {
      const std::size_t c = first + i;
      keys[kTopMax + i] = c < scores.size() && scores[c] > -INFINITY
                              ? key_of(scores[c], static_cast<std::uint32_t>(c))
                              : kNoKey;
    }
    for (std::uint32_t size = 2; size <= kSorted; size *= 2) {
      for (std::uint32_t distance = size / 2; distance > 0; distance /= 2) {
        for (std::uint32_t i = 0; i < kTopMax; ++i)
          perform(exchange(i, size, distance), keys.data());
      }
    }
  }
  keys.resize(n);
  return keys;
}

}  // namespace fovea::ranking::scorer
