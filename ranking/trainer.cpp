// See trainer.h: the recipe, step by step.
#include "ranking/trainer.h"

#include <limits>
#include <memory>
#include <stdexcept>

#include "ranking/carry_over.h"
#include "ranking/ease.h"
#include "ranking/encoder.h"
#include "ranking/encoder_trainer.h"
#include "ranking/ranker.h"
#include "ranking/ranker_trainer.h"
#include "ranking/unseen.h"

namespace fovea::ranking {
TrainResult train(const TrainData& data, const std::optional<TrainFrom>& from,
                  const TrainOptions& options, const TrainWatch& watch) {
  const Unseen unseen = hold_out_newest(
      data, from ? from->newest_ms : std::numeric_limits<std::int64_t>::min(), options);
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
  const EaseOptions ease_options{.items_max = options.ease_items_max};
  const std::vector<float> early_popularity =
      log_popularity(unseen.sequences, data.items, data.action_weights);
  RankerFit ranker;
  if (refit) {
    const Transitions early_transitions =
        Transitions::count(unseen.sequences, data.items, data.action_weights, {});
    const ItemPairs early_ease = solve_ease(unseen.sequences, data.items, data.action_weights,
                                            ease_options, options.threads);
    ranker = train_ranker(data, {early.weights, early_transitions, early_ease, early_popularity},
                          unseen.questions, from_ranker, options, watch);
  } else {
    ranker.weights = with_actions(*from_ranker, data.action_weights.size());
  }

  // What serves knows everything.
  Transitions transitions =
      Transitions::count(data.interactions, data.items, data.action_weights, {});
  ItemPairs ease =
      solve_ease(data.interactions, data.items, data.action_weights, ease_options, options.threads);
  EncoderFit encoder = train_encoder(data, data.interactions, data.validation, early.epochs,
                                     from_encoder, options, "encoder", watch);
  if (refit) {
    const Context context{options.threads};
    carry_over(all_item_vectors(context, early.weights, data.whitened.data()).values(),
               all_item_vectors(context, encoder.weights, data.whitened.data()).values(),
               early_popularity, ranker.weights);
  }
  TrainResult result{.model = Model(std::make_shared<EncoderWeights>(std::move(encoder.weights)),
                                    std::make_shared<RankerWeights>(std::move(ranker.weights)),
                                    std::move(transitions), std::move(ease)),
                     .encoder_validation_ndcg_10 = encoder.validation_ndcg_10,
                     .ranker_validation_ndcg_10 = ranker.validation_ndcg_10,
                     .popular_validation_ndcg_10 = ranker.popular_ndcg_10,
                     .ranker_validation_questions = ranker.validation_questions,
                     .encoder_epochs = encoder.epochs,
                     .questions = unseen.questions.size(),
                     .ranker_fitted = refit && ranker.epochs > 0};
  return result;
}

}  // namespace fovea::ranking
