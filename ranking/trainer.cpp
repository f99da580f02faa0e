// See trainer.h: the recipe, step by step.
#include "ranking/trainer.h"

#include <cmath>
#include <memory>
#include <stdexcept>

#include "ranking/encoder.h"
#include "ranking/encoder_trainer.h"
#include "ranking/ranker.h"
#include "ranking/ranker_trainer.h"

namespace fovea::ranking {
namespace {

// Every user's newest behaviour of positive weight as a question, and what came before it as
// training data. Of what `from` may have learned nothing is asked; it stays training data.
struct Unseen {
  Interactions sequences;
  std::vector<HeldOut> questions;
};

Unseen hold_out_newest(const TrainData& data, const std::optional<TrainFrom>& from) {
  Unseen unseen;
  for (std::size_t u = 0; u < data.interactions.users(); ++u) {
    auto user = data.interactions.user(u);
    while (!user.empty() && !(data.action_weights[user.back().action] > 0)) {
      user = user.first(user.size() - 1);
    }
    if (user.size() < 2) continue;
    if (from && user.back().time_ms <= from->newest_ms) {
      unseen.sequences.add_user(data.interactions.user(u));
      continue;
    }
    const auto before = user.first(user.size() - 1);
    unseen.sequences.add_user(before);
    unseen.questions.push_back(
        {static_cast<std::uint32_t>(u), {before.begin(), before.end()}, user.back()});
  }
  return unseen;
}

std::vector<float> log_popularity(const Interactions& interactions, const TrainData& data) {
  std::vector<float> result(data.items);
  for (const Behaviour& b : interactions.behaviours) {
    if (data.action_weights[b.action] > 0) result[b.row] += 1;
  }
  for (float& x : result) x = std::log1p(x);
  return result;
}

}  // namespace

TrainResult train(const TrainData& data, const std::optional<TrainFrom>& from,
                  const TrainOptions& options, const TrainWatch& watch) {
  const Unseen unseen = hold_out_newest(data, from);
  const bool refit = !from || unseen.questions.size() >= options.refit_questions_min;
  if (unseen.questions.empty() && !from) {
    throw std::invalid_argument(
        "nothing to learn from: no user has two behaviours of a positive action");
  }
  const EncoderWeights* from_encoder = from ? &from->model->encoder() : nullptr;
  const RankerWeights* from_ranker = from ? &from->model->ranker() : nullptr;
  // The ranker is fitted on behaviours that the encoder and transitions under it have not seen:
  // over prefixes they have memorised, it learns to trust them more than they deserve.
  EncoderFit early;
  if (refit || data.validation.empty()) {
    early = train_encoder(data, unseen.sequences, unseen.questions, 0, from_encoder, options,
                          "encoder for the ranker", watch);
  }
  RankerFit ranker;
  if (refit) {
    const Transitions early_transitions =
        Transitions::count(unseen.sequences, data.items, data.action_weights, {});
    const std::vector<float> early_popularity = log_popularity(unseen.sequences, data);
    ranker = train_ranker(data, {early.weights, early_transitions, early_popularity},
                          unseen.questions, from_ranker, options, watch);
  } else {
    ranker.weights = with_actions(*from_ranker, data.action_weights.size());
  }

  // What serves knows everything.
  Transitions transitions =
      Transitions::count(data.interactions, data.items, data.action_weights, {});
  EncoderFit encoder = train_encoder(data, data.interactions, data.validation, early.epochs,
                                     from_encoder, options, "encoder", watch);
  TrainResult result{
      .model = Model(std::make_shared<EncoderWeights>(std::move(encoder.weights)),
                     std::make_shared<RankerWeights>(std::move(ranker.weights)), transitions),
      .encoder_validation_ndcg_10 = encoder.validation_ndcg_10,
      .ranker_validation_ndcg_10 = ranker.validation_ndcg_10,
      .encoder_epochs = encoder.epochs,
      .questions = unseen.questions.size(),
      .ranker_fitted = refit && ranker.epochs > 0};
  return result;
}

}  // namespace fovea::ranking
