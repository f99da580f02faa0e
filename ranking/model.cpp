// See model.h: the encoder and the ranker as one thing to ask.
#include "ranking/model.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "ranking/encoder.h"
#include "ranking/ops.h"
#include "ranking/ranker.h"

namespace fovea::ranking {
namespace {

// Candidates are scored so many pairs of candidate and behaviour at a time: whether to stop is
// asked between steps of a fraction of a millisecond however many candidates there are, and what a
// thread keeps for the next request stays small. Usual requests are below it.
constexpr std::size_t kPairsPerPart = std::size_t{1} << 17;
constexpr std::size_t kCandidatesPerPartMin = 64;

// The newest behaviours that the model reads. An action that was declared after training is none to
// it.
struct Newest {
  std::vector<Behaviour> behaviours;
  std::size_t skipped = 0;  // older ones

  Newest(std::span<const Behaviour> all, std::size_t behaviours_max, std::size_t actions) {
    const auto kept = all.last(std::min(all.size(), behaviours_max));
    skipped = all.size() - kept.size();
    behaviours.assign(kept.begin(), kept.end());
    for (Behaviour& behaviour : behaviours) {
      if (behaviour.action >= actions) behaviour.action = 0;
    }
  }
};

}  // namespace

Model::Model(std::shared_ptr<const EncoderWeights> encoder,
             std::shared_ptr<const RankerWeights> ranker, Transitions transitions, ItemPairs ease)
    : encoder_(std::move(encoder)),
      ranker_(std::move(ranker)),
      transitions_(std::move(transitions)),
      ease_(std::move(ease)) {
  assert(encoder_->shape.width == ranker_->shape.width);
}

std::size_t Model::width() const { return encoder_->shape.width; }
std::size_t Model::text_width() const { return ranker_->shape.text_width; }
std::size_t Model::behaviours_max() const { return encoder_->shape.behaviours_max; }
std::size_t Model::items() const { return encoder_->shape.items; }
std::size_t Model::actions() const { return encoder_->shape.actions; }
std::size_t Model::centre_k() const { return ranker_->shape.centre_k; }

ItemRelations Model::relations() const { return {transitions_, ease_}; }

void Model::item_vectors(const Context& context, std::span<const std::uint32_t> rows,
                         std::span<const float> whitened, std::span<float> out) const {
  std::vector<std::uint32_t> known(rows.begin(), rows.end());
  std::vector<float> mask(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] < items()) {
      mask[i] = encoder_->learned[rows[i]];
    } else {
      known[i] = 0;
    }
  }
  item_tower(context, *encoder_, known.size(), known.data(), mask.data(), whitened.data(),
             out.data());
}

std::vector<float> Model::user_state(const Context& context,
                                     const BehaviourInput& behaviours) const {
  const Newest newest(behaviours.behaviours, behaviours_max(), encoder_->shape.actions);
  const std::size_t kept = newest.behaviours.size();
  assert(kept > 0);
  EncoderBatch batch;
  std::vector<std::uint32_t> rows(kept);
  std::iota(rows.begin(), rows.end(), 0U);
  batch.add(newest.behaviours, rows);
  thread_local EncoderTape tape;  // keeps its room
  encode(context, *encoder_, behaviours.vectors.data() + newest.skipped * width(), batch, 0, 0,
         tape, kept - 1);
  const float* last = tape.states.row(kept - 1);
  return {last, last + width()};
}

Scores Model::score(const Context& context, std::span<const float> state,
                    const BehaviourInput& behaviours, const CandidateInput& candidates,
                    float centre, bool explain, const Transitions* since) const {
  const std::size_t n = candidates.rows.size();
  const Newest newest(behaviours.behaviours, behaviours_max(), encoder_->shape.actions);
  const std::size_t l = newest.behaviours.size();
  assert(l > 0);
  const BehaviourInput read{
      newest.behaviours, behaviours.vectors.subspan(newest.skipped * width()),
      behaviours.texts.subspan(newest.skipped * text_width()), behaviours.earlier,
      behaviours.bias.empty() ? behaviours.bias : behaviours.bias.subspan(newest.skipped)};
  const std::size_t heads = ranker_->shape.heads;
  Scores scores;
  scores.total.reserve(n);
  if (explain) {
    scores.parts.reserve(n);
    scores.attention.assign(n * behaviours.behaviours.size(), 0);
  }
  thread_local RankerTape tape;  // keeps its room: a part needs a few megabytes
  const std::size_t part_max = std::max(kPairsPerPart / l, kCandidatesPerPartMin);
  for (std::size_t begin = 0; begin < n; begin += part_max) {
    const std::size_t part = std::min(part_max, n - begin);
    const CandidateInput some{candidates.rows.subspan(begin, part),
                              candidates.vectors.subspan(begin * width(), part * width()),
                              candidates.texts.subspan(begin * text_width(), part * text_width()),
                              candidates.log_popularity.subspan(begin, part)};
    std::vector<float> retrieval(part);
    for (std::size_t c = 0; c < part; ++c) {
      retrieval[c] = ops::dot(width(), state.data(), some.vectors.data() + c * width()) - centre;
    }
    rank_candidates(context, *ranker_, {transitions_, ease_, since}, read, some, retrieval, 0, 0,
                    tape);
    const auto totals = tape.scores.values();
    scores.total.insert(scores.total.end(), totals.begin(), totals.end());
    if (!explain) continue;
    for (std::size_t c = 0; c < part; ++c) {
      scores.parts.push_back(score_parts(*ranker_, tape, c));
      float* row =
          scores.attention.data() + (begin + c) * behaviours.behaviours.size() + newest.skipped;
      for (std::size_t h = 0; h < heads; ++h) {
        const float* attention = tape.attention.row(h) + c;
        for (std::size_t j = 0; j < l; ++j) {
          row[j] += attention[j * part] / static_cast<float>(heads);
        }
      }
    }
  }
  return scores;
}

void Model::save(Weights& weights) const {
  encoder_->save(weights);
  ranker_->save(weights);
  transitions_.save(weights, "transitions");
  ease_.save(weights, "ease");
}

Model Model::load(const Weights& weights) {
  auto encoder = std::make_shared<EncoderWeights>(EncoderWeights::load(weights));
  auto ranker = std::make_shared<RankerWeights>(RankerWeights::load(weights));
  if (encoder->shape.width != ranker->shape.width ||
      encoder->shape.actions != ranker->shape.actions) {
    throw WeightsError("encoder and ranker are of different widths or actions");
  }
  return {std::move(encoder), std::move(ranker),
          Transitions(ItemPairs::load(weights, "transitions")), ItemPairs::load(weights, "ease")};
}

}  // namespace fovea::ranking
