// Learns a Model from behaviours and texts: transitions counted, encoder by full softmax over all
// positions, ranker on behaviours that neither has seen. Owns the recipe; reads no disk and knows
// no names.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ranking/interactions.h"
#include "ranking/model.h"
#include "ranking/train_options.h"
#include "ranking/weights.h"

namespace fovea::ranking {

struct TrainData {
  Interactions interactions;  ///< What may be learned from, oldest first.
  std::vector<HeldOut>
      validation;  ///< Decides when to stop; empty: the epochs of the first training are kept.
  std::size_t items = 0;            ///< V
  std::span<const float> texts;     ///< [V, K], centred unit vectors; zeros where none.
  std::size_t text_width = 0;       ///< K
  std::span<const float> whitened;  ///< [V, Z]
  std::size_t whitened_width = 0;   ///< Z
  std::vector<float>
      action_weights;  ///< By action index; [0] is 1. Targets are behaviours of positive weight.
};

/// One line of progress, also while nobody watches.
struct TrainProgress {
  std::string stage;  ///< "encoder for the ranker", "ranker", "encoder"
  std::size_t epoch = 0;
  double loss = 0;
  std::optional<double> validation_ndcg_10;
  double seconds = 0;          ///< Of this epoch.
  std::size_t best_epoch = 0;  ///< Whose weights would be kept by now; 0: those it began with.
};

/// Who looks on while a model is trained, and keeps what a training that was killed needs to go on.
/// Every function may be empty.
struct TrainWatch {
  std::function<void(const TrainProgress&)> progress;
  /// After each epoch, after progress(). `state` makes what `resume` is to give back; calling it
  /// costs a copy of the weights, so that some epochs may be passed over. `last`: the stage is
  /// done, and begins anew unless this one is kept.
  std::function<void(const std::string& stage, bool last, const std::function<Weights()>& state)>
      checkpoint;
  /// At the start of a stage: the newest state that was kept of it; absent: the stage is new.
  std::function<std::optional<Weights>(const std::string& stage)> resume;
};

/// What a training goes on from instead of from random weights.
struct TrainFrom {
  const Model* model = nullptr;  ///< Not null; of the same options, texts and rows, or fewer rows.
  std::int64_t newest_ms = 0;    ///< It may have learned behaviours up to here and none after.
};

struct TrainResult {
  Model model;
  double encoder_validation_ndcg_10 = 0;
  double ranker_validation_ndcg_10 = 0;
  double popular_validation_ndcg_10 = 0;  ///< Popularity alone, on the ranker's validation.
  std::size_t ranker_validation_questions = 0;
  std::size_t encoder_epochs = 0;
  std::size_t questions = 0;   ///< Unseen behaviours that the ranker could be fitted on.
  bool ranker_fitted = false;  ///< False: too few of them, the ranker is the one of `from`.
};

/// Requires at least one user with two behaviours of positive weight: std::invalid_argument
/// otherwise. The same data, options, `from` and machine give the same weights, also when a killed
/// training is resumed.
TrainResult train(const TrainData& data, const std::optional<TrainFrom>& from,
                  const TrainOptions& options, const TrainWatch& watch);

}  // namespace fovea::ranking
