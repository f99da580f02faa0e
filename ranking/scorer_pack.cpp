// See scorer_pack.h.
#include "ranking/scorer_pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "ranking/ops.h"
#include "ranking/ranker_features.h"

namespace fovea::ranking::scorer {
namespace {

using ops::Transpose;

static_assert(static_cast<std::size_t>(kPlaceRetrieval) == kRetrieval &&
              static_cast<std::size_t>(kPlacePopularity) == kPopularity &&
              static_cast<std::size_t>(kPlaceFresh) == kFresh &&
              static_cast<std::size_t>(kPlaceTextLast) == kTextLast &&
              static_cast<std::size_t>(kPlaceTextHighest) == kTextHighest &&
              static_cast<std::size_t>(kPlaceTextMean) == kTextMean &&
              static_cast<std::size_t>(kPlaceTransition) == kTransition &&
              static_cast<std::size_t>(kPlaceEase) == kEase &&
              static_cast<std::size_t>(kPlaceVectors5) == kVectors5 &&
              static_cast<std::size_t>(kPlaceVectors20) == kVectors20 &&
              static_cast<std::size_t>(kPlaceVectors) == kVectors &&
              static_cast<std::size_t>(kPlaceVectorsLiked) == kVectorsLiked &&
              static_cast<std::size_t>(kPlaceHeads) == kScalarFeatures);
static_assert(kScalarFeatures + kHeadsMax <= kFeaturesMax);

constexpr std::size_t kBehavioursMax = 4096;
constexpr std::size_t kAlignment = 256;

// An array's place in a block that grows.
template <typename T>
std::uint64_t append(std::vector<std::byte>& block, const std::vector<T>& values) {
  const std::size_t at = round_up(block.size(), kAlignment);
  block.resize(at + values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(block.data() + at, values.data(), values.size() * sizeof(T));
  return at;
}

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

}  // namespace

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float from_bfloat16(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

BankPacker::BankPacker(const RankerWeights& weights)
    : shape_(bank_shape(weights.shape.width, weights.shape.heads, weights.shape.text_width)),
      width_(weights.shape.width),
      text_width_(weights.shape.text_width) {
  require(shape_.heads != 0, "the scorer takes at most 8 heads");
  const std::size_t head_width = width_ / weights.shape.heads;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  for (std::size_t h = 0; h < weights.shape.heads; ++h) {
    Tensor& folded = folded_.emplace_back(std::vector<std::size_t>{width_, width_});
    ops::gemm(Context{}, Transpose::kYes, Transpose::kNo, width_, width_, head_width, scale,
              weights.key.row(h * head_width), width_, weights.query.row(h * head_width), width_, 0,
              folded.data(), width_);
  }
}

void BankPacker::pack(const Context& context, std::span<const float> vectors,
                      std::span<const float> texts, std::span<float> rows,
                      std::span<float> lengths) const {
  const std::size_t n = lengths.size();
  const std::size_t row = shape_.row();
  std::ranges::fill(rows, 0.0F);
  for (std::size_t h = 0; h < folded_.size(); ++h) {
    ops::gemm(context, Transpose::kNo, Transpose::kNo, n, width_, width_, 1, vectors.data(), width_,
              folded_[h].data(), width_, 0, rows.data() + h * shape_.width, row);
  }
  for (std::size_t i = 0; i < n; ++i) {
    const float* vector = vectors.data() + i * width_;
    lengths[i] = std::sqrt(ops::dot(width_, vector, vector));
    const float inverse = lengths[i] > 0 ? 1 / lengths[i] : 0;
    float* unit = rows.data() + i * row + shape_.candidate();
    for (std::size_t d = 0; d < width_; ++d) unit[d] = vector[d] * inverse;
    std::copy_n(texts.data() + i * text_width_, text_width_, unit + shape_.width);
  }
}

RankerConstants constants_of(const RankerWeights& weights) {
  RankerConstants constants;
  for (std::size_t h = 0; h < weights.shape.heads; ++h) {
    const float* theta = weights.theta.row(h);
    constants.transition[h] = theta[kPairTransition];
    constants.text[h] = theta[kPairText];
    constants.vectors[h] = theta[kPairVectors];
    constants.ease[h] = theta[kPairEase];
    constants.null[h] = weights.null[h];
  }
  for (std::size_t f = 0; f < weights.features(); ++f) {
    constants.linear[f] = weights.linear[f];
    constants.mean[f] = weights.feature_mean[f];
    constants.scale[f] = weights.feature_scale[f];
  }
  constants.floor = kTransitionFloor;
  constants.log_floor = std::log(kTransitionFloor);
  constants.transition_unit = kTransitionUnit;
  constants.ease_unit = kEaseUnit;
  constants.recent = kRecent;
  return constants;
}

Mlp<float> PackedMlp::view() const {
  return {hidden1,         hidden2,      weights1.data(), bias1.data(),
          weights2.data(), bias2.data(), out.data()};
}

PackedMlp pack_mlp(const RankerWeights& weights) {
  const std::size_t units1 = weights.bias1.size();
  const std::size_t units2 = weights.out.size();
  const std::size_t features = weights.features();
  PackedMlp mlp;
  mlp.hidden1 = static_cast<unsigned>(round_up(units1, kChannels));
  mlp.hidden2 = static_cast<unsigned>(round_up(units2, kOutputs));
  mlp.weights1.resize(std::size_t{mlp.hidden1} * kFeaturesMax);
  mlp.bias1.resize(mlp.hidden1);
  mlp.weights2.resize(std::size_t{mlp.hidden2} * mlp.hidden1);
  mlp.bias2.resize(mlp.hidden2);
  mlp.out.resize(mlp.hidden2);
  for (std::size_t i = 0; i < units1; ++i) {
    std::copy_n(weights.hidden1.row(i), features, mlp.weights1.data() + i * kFeaturesMax);
  }
  for (std::size_t o = 0; o < units2; ++o) {
    std::copy_n(weights.hidden2.data() + o * units1, units1, mlp.weights2.data() + o * mlp.hidden1);
  }
  std::copy_n(weights.bias1.data(), units1, mlp.bias1.data());
  std::copy_n(weights.bias2.data(), units2, mlp.bias2.data());
  std::copy_n(weights.out.data(), units2, mlp.out.data());
  return mlp;
}

std::vector<float> in_order_of_units(const PackedMlp& mlp) {
  std::vector<float> ordered(mlp.weights2.size());
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    const std::size_t place = i % mlp.hidden1;
    const std::size_t unit =
        place / kChannels * kChannels + hidden_unit(static_cast<unsigned>(place % kChannels));
    ordered[i] = mlp.weights2[i - place + unit];
  }
  return ordered;
}

PairsView PackedPairs::view() const {
  return {static_cast<std::uint32_t>(offsets.size() - 1), offsets.data(), rows.data(),
          weights.data()};
}

PackedPairs pack_pairs(const ItemPairs& pairs, std::uint32_t items) {
  PackedPairs packed;
  for (std::uint32_t source = 0; source < items; ++source) {
    for (const ItemPairs::Entry& entry : pairs.from(source)) {
      packed.rows.push_back(entry.row);
      packed.weights.push_back(entry.weight);
    }
    packed.offsets.push_back(static_cast<std::uint32_t>(packed.rows.size()));
  }
  return packed;
}

std::vector<std::byte> pack_requests(const RankerWeights& weights, std::uint32_t items,
                                     std::span<const ScorerRequest> requests, std::uint32_t top,
                                     const ScorerRetrieved* retrieved) {
  const std::size_t width = weights.shape.width;
  const std::size_t on_device = retrieved != nullptr ? retrieved->count : 0;  // of each request
  const std::size_t padded_width = round_up(width, kChannels);
  std::vector<User> users;
  std::vector<Tile> tiles;
  std::vector<PairGroup> groups;
  std::vector<BehaviourTerms> behaviours;
  std::vector<Source> sources;
  std::vector<float> states(retrieved != nullptr ? 0 : requests.size() * padded_width);
  std::vector<std::uint32_t> candidates;
  std::size_t candidate_count = 0;
  std::uint64_t words = 0;
  std::uint64_t pairs = 0;
  for (const ScorerRequest& request : requests) {
    const auto index = static_cast<std::uint32_t>(users.size());
    const std::size_t l = request.behaviours.size();
    const std::size_t n = on_device + request.candidates.size();
    require(l <= kBehavioursMax, "too many behaviours for the scorer");
    require(request.state.size() == (retrieved != nullptr ? 0 : width),
            "a user state of another width than the ranker's, or beside a retrieved one");
    require(request.bias.empty() || request.bias.size() == l, "a bias for other behaviours");
    if (retrieved == nullptr) {
      std::ranges::copy(request.state,
                        states.begin() + static_cast<std::ptrdiff_t>(index * padded_width));
    }
    User& user = users.emplace_back();
    user = {static_cast<std::uint32_t>(behaviours.size()),
            static_cast<std::uint32_t>(l),
            static_cast<std::uint32_t>(candidate_count),
            static_cast<std::uint32_t>(n),
            static_cast<std::uint32_t>(sources.size()),
            0,
            static_cast<std::uint32_t>(words),
            request.centre,
            pairs};
    const BehaviourDescription described = describe_behaviours(weights, request.behaviours);
    for (const Behaviour& behaviour : request.earlier) {
      require(behaviour.action < weights.shape.actions, "an action that the ranker does not know");
      if (positive(weights, behaviour)) sources.push_back({behaviour.row, 1});
    }
    for (std::size_t j = 0; j < l; ++j) {
      const Behaviour& behaviour = request.behaviours[j];
      require(behaviour.action < weights.shape.actions, "an action that the ranker does not know");
      const std::size_t age = l - 1 - j;
      const bool counts = positive(weights, behaviour);
      BehaviourTerms& terms = behaviours.emplace_back();
      terms.row = std::min(behaviour.row, items);
      terms.rating = described.rating[j];
      terms.decay =
          counts && age < kRecent ? std::pow(Transitions::kAgeDecay, static_cast<float>(age)) : 0;
      for (std::size_t h = 0; h < weights.shape.heads; ++h) {
        const float* theta = weights.theta.row(h);
        terms.logits[h] = theta[kPairAge] * described.age[j] + theta[kPairGap] * described.gap[j] +
                          theta[kPairValue] * described.rating[j] +
                          weights.action.row(h)[behaviour.action];
        if (!request.bias.empty()) terms.logits[h] += request.bias[j];
      }
      sources.push_back({behaviour.row, counts ? 1U : 0U});
    }
    user.sources = static_cast<std::uint32_t>(sources.size()) - user.first_source;
    for (std::uint32_t tile = 0; tile < tiles_of(n); ++tile) tiles.push_back({index, tile * kTile});
    for (std::uint32_t first = 0; n > 0 && first < user.sources; first += kPairGroup) {
      groups.push_back({index, first});
    }
    candidates.insert(candidates.end(), request.candidates.begin(), request.candidates.end());
    candidate_count += n;
    words += n * bit_words(user.behaviours);
    pairs += std::uint64_t{n} * l;
  }
  require(candidate_count < std::numeric_limits<std::uint32_t>::max() / 2 &&
              words < std::numeric_limits<std::uint32_t>::max(),
          "a batch too large for the scorer");

  BlockHeader header;
  header.users = static_cast<std::uint32_t>(users.size());
  header.tiles = static_cast<std::uint32_t>(tiles.size());
  header.groups = static_cast<std::uint32_t>(groups.size());
  header.candidates = static_cast<std::uint32_t>(candidate_count);
  header.top = top;
  header.words = static_cast<std::uint32_t>(words);
  header.pairs = pairs;
  header.width = width;
  std::vector<std::byte> block(sizeof header);
  header.user_at = append(block, users);
  header.tile_at = append(block, tiles);
  header.group_at = append(block, groups);
  header.behaviour_at = append(block, behaviours);
  header.source_at = append(block, sources);
  header.state_at = append(block, states);
  header.given_at = header.candidate_at = append(block, candidates);
  header.size = block.size();
  if (retrieved != nullptr) {
    header.retrieved = *retrieved;
    header.state_at = round_up(block.size(), kAlignment);
    header.candidate_at =
        round_up(header.state_at + users.size() * padded_width * sizeof(float), kAlignment);
    header.size = header.candidate_at + candidate_count * sizeof(std::uint32_t);
  }
  std::memcpy(block.data(), &header, sizeof header);
  return block;
}

}  // namespace fovea::ranking::scorer

namespace fovea::ranking {

std::size_t scorer_bytes(const RankerWeights& weights, const ItemRelations& relations,
                         std::size_t items_max, ScorerPrecision precision) {
  const scorer::BankShape shape =
      scorer::bank_shape(weights.shape.width, weights.shape.heads, weights.shape.text_width);
  const std::size_t number = precision == ScorerPrecision::kFloat32 ? 4 : 2;
  const std::size_t item = shape.row() * number + 2 * sizeof(float);
  const std::size_t pair = sizeof(std::uint32_t) + sizeof(float);
  return (items_max + 1) * item +
         (relations.transitions.entries() + relations.ease.entries()) * pair +
         2 * (items_max + 1) * sizeof(std::uint32_t);
}

}  // namespace fovea::ranking
