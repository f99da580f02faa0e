// Every choice of the training recipe, with its name, its range and what it is for, in one place:
// flags, version cards and checkpoints are made from this list. Owns no formula.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fovea::ranking {

class Device;

struct TrainOptions {
  // Behaviour.
  std::size_t width = 64;           ///< D
  std::size_t heads = 2;            ///< H, of encoder and target attention
  std::size_t behaviours_max = 50;  ///< L
  bool gates = false;               ///< EncoderShape::gates
  bool relative_bias = false;       ///< EncoderShape::relative_bias
  double dropout = 0.3;
  double item_dropout = 0.1;
  double learning_rate = 1e-3;
  std::size_t sampled_softmax_above = 200'000;  ///< Items with a behaviour.
  std::size_t negatives = 512;
  std::size_t epochs_max = 60;
  std::size_t epochs_min = 15;
  std::size_t patience = 5;
  std::size_t ranker_epochs_max = 40;
  std::size_t ranker_candidates = 200;  ///< Also centre_k.
  std::size_t ranker_examples = 10;
  double ranker_fresh = 0.05;
  std::size_t ease_items_max = 16'000;
  bool transition_features = true;
  bool ease_features = true;
  bool text_features = true;
  bool vector_features = true;
  bool popularity_features = true;
  bool target_attention = true;
  bool attention_products = true;
  std::size_t refit_questions_min = 2000;
  std::uint64_t seed = 1;
  // Performance.
  int threads = 2;
  /// That the encoder is trained on; null: the CPU. The caller's, who keeps it until the training
  /// is over.
  Device* device = nullptr;
};

/// Calls `visit(name, field, least, most, help)` for each choice of the recipe, in the order people
/// read them; names are lower case with underscores. Seed and threads are no choices of the recipe.
/// `Options` is TrainOptions, const or not.
template <typename Options, typename Visit>
void for_each_option(Options& options, const Visit& visit) {
  visit("width", options.width, 4, 1024, "Channels of item and user vectors");
  visit("heads", options.heads, 1, 64, "Heads of each attention; they divide the width");
  visit("behaviours_max", options.behaviours_max, 1, 512, "Newest behaviours that are attended to");
  visit("gates", options.gates, false, true,
        "A learned gate on what each layer of the encoder adds");
  visit("relative_bias", options.relative_bias, false, true,
        "A learned bias of attention for distance in the history and in time");
  visit("dropout", options.dropout, 0, 0.9, "Share of activations left out in encoder training");
  visit("item_dropout", options.item_dropout, 0, 0.9,
        "Share of items that a step scores from their text alone");
  visit("learning_rate", options.learning_rate, 1e-6, 1, "Of the encoder's Adam");
  visit("sampled_softmax_above", options.sampled_softmax_above, 0, 4'000'000'000,
        "Items above which a step compares its targets with drawn items instead of all");
  visit("negatives", options.negatives, 1, 65'536, "Items that such a step draws");
  visit("epochs_max", options.epochs_max, 1, 10'000, "Passes of an encoder training at most");
  visit("epochs_min", options.epochs_min, 0, 10'000,
        "Passes before an encoder training may stop: where texts say much, the first epochs lose "
        "what they start with before they learn more");
  visit("patience", options.patience, 1, 10'000,
        "Passes without a better validation ndcg@10 before an encoder training stops");
  visit("ranker_epochs_max", options.ranker_epochs_max, 0, 10'000, "Passes of the ranker at most");
  visit("ranker_candidates", options.ranker_candidates, 1, 2000,
        "Candidates retrieved from each source in ranker training");
  visit("ranker_examples", options.ranker_examples, 1, 100,
        "Newest behaviours of a user that the ranker is fitted on, at most a tenth of them");
  visit("ranker_fresh", options.ranker_fresh, 0, 0.9,
        "Share of items that the ranker sees as if nobody had acted on them");
  visit("ease_items_max", options.ease_items_max, 0, 50'000,
        "Touched items up to which EASE is solved: 4 bytes for each pair, time with the cube; 0: "
        "never");
  visit("transition_features", options.transition_features, false, true,
        "The ranker sees the fixed transition score");
  visit("ease_features", options.ease_features, false, true, "The ranker sees the EASE score");
  visit("text_features", options.text_features, false, true, "The ranker sees cosines of texts");
  visit("vector_features", options.vector_features, false, true,
        "The ranker sees cosines of learned vectors");
  visit("popularity_features", options.popularity_features, false, true,
        "The ranker sees how popular an item is");
  visit("target_attention", options.target_attention, false, true,
        "Candidates attend to the behaviours");
  visit("attention_products", options.attention_products, false, true,
        "Attention learns products of queries and keys beside the named terms of a pair");
  visit("refit_questions_min", options.refit_questions_min, 1, 1'000'000'000,
        "Unseen behaviours that a training needs to refit the ranker of the version it goes on "
        "from: a tenth of them decides when to stop");
}

}  // namespace fovea::ranking
