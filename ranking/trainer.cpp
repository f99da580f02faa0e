// See trainer.h: the recipe, step by step.
#include "ranking/trainer.h"

#include <memory>
#include <stdexcept>

#include "ranking/ease.h"
#include "ranking/encoder_trainer.h"
#include "ranking/ranker_trainer.h"
#include "ranking/unseen.h"

namespace fovea::ranking {

TrainResult train(const TrainData& data, const TrainOptions& options,
                  const std::function<void(const TrainProgress&)>& progress) {
  const Unseen unseen = hold_out_newest(data, options);
  if (unseen.questions.empty()) {
    throw std::invalid_argument(
        "nothing to learn from: no user has two behaviours of a positive action");
  }
  // The ranker is fitted on behaviours that the encoder and transitions under it have not seen:
  // over prefixes they have memorised, it learns to trust them more than they deserve.
  const Transitions early_transitions =
      Transitions::count(unseen.sequences, data.items, data.action_weights, {});
  const ItemPairs early_ease = solve_ease(unseen.sequences, data.items, data.action_weights,
                                          {.items_max = options.ease_items_max}, options.threads);
  const EncoderFit early = train_encoder(data, unseen.sequences, unseen.questions, 0, options,
                                         "encoder for the ranker", progress);
  const std::vector<float> early_popularity = log_popularity(unseen.sequences, data);
  RankerFit ranker =
      train_ranker(data, {early.weights, early_transitions, early_ease, early_popularity},
                   unseen.questions, options, progress);

  // What serves knows everything.
  Transitions transitions =
      Transitions::count(data.interactions, data.items, data.action_weights, {});
  ItemPairs ease = solve_ease(data.interactions, data.items, data.action_weights,
                              {.items_max = options.ease_items_max}, options.threads);
  EncoderFit encoder = train_encoder(data, data.interactions, data.validation, early.epochs,
                                     options, "encoder", progress);
  TrainResult result{.model = Model(std::make_shared<EncoderWeights>(std::move(encoder.weights)),
                                    std::make_shared<RankerWeights>(std::move(ranker.weights)),
                                    std::move(transitions), std::move(ease)),
                     .encoder_validation_ndcg_10 = encoder.validation_ndcg_10,
                     .ranker_validation_ndcg_10 = ranker.validation_ndcg_10,
                     .encoder_epochs = encoder.epochs};
  return result;
}

}  // namespace fovea::ranking
