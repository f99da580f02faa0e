// The ablation table of BENCHMARKS.md: what each choice of the recipe is worth on data imported
// into a store, mean and standard deviation over seeds. Encoders are trained once for each seed and
// choice and kept in a folder; rankers are fitted over them and asked the leave-one-out questions,
// among the candidates that serving would retrieve.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <iostream>

#include "engine/dataset.h"
#include "engine/split.h"
#include "ranking/carry_over.h"
#include "ranking/ease.h"
#include "ranking/encoder_trainer.h"
#include "ranking/ranker_trainer.h"
#include "ranking/text_space.h"
#include "ranking/unseen.h"
#include "storage/db.h"
#include "tests/benchmarks/shop.h"

namespace {

using namespace fovea;
using ranking::TrainOptions;

struct Variant {
  const char* name;
  std::function<void(TrainOptions&)> change;
  bool carries_over = true;  // the ranker, to the encoder that serves (ranking/carry_over)
  bool continues = false;    // the second encoder training, from the weights of the first
};

const std::vector<Variant> kVariants = {
    {"default", [](TrainOptions&) {}},
    {"one example a user", [](TrainOptions& o) { o.ranker_examples = 1; }},
    {"without the transition score", [](TrainOptions& o) { o.transition_features = false; }},
    {"without EASE", [](TrainOptions& o) { o.ease_features = false; }},
    {"without text cosines", [](TrainOptions& o) { o.text_features = false; }},
    {"without vector cosines", [](TrainOptions& o) { o.vector_features = false; }},
    {"without popularity", [](TrainOptions& o) { o.popularity_features = false; }},
    {"without target attention", [](TrainOptions& o) { o.target_attention = false; }},
    {"attention not carried over", [](TrainOptions&) {}, false},
    {"attention without products", [](TrainOptions& o) { o.attention_products = false; }},
    {"no items as if fresh", [](TrainOptions& o) { o.ranker_fresh = 0; }},
    // These train encoders of their own.
    {"second encoder continues", [](TrainOptions&) {}, false, true},
    {"no item dropout", [](TrainOptions& o) { o.item_dropout = 0; }},
    {"gates", [](TrainOptions& o) { o.gates = true; }},
    {"relative bias", [](TrainOptions& o) { o.relative_bias = true; }},
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One data set, split, with its texts encoded.
struct Data {
  explicit Data(const std::filesystem::path& directory)
      : db(storage::Db::open(directory, storage::Access::kReadOnly)) {
    engine::Dataset dataset = engine::read_dataset(*db);
    engine::SplitData parts = engine::split(std::move(dataset.interactions),
                                            engine::Split::kLeaveOneOut, dataset.action_weights);
    train.interactions = std::move(parts.train);
    train.validation = std::move(parts.validation);
    test = std::move(parts.test);
    train.action_weights = std::move(dataset.action_weights);
    train.items = db->catalog().rows();
    std::vector<storage::StoredItem> items;
    db->catalog().for_each([&](const storage::StoredItem& item) { items.push_back(item); });
    std::vector<ranking::TextSource> sources;
    for (const auto& item : items) {
      ranking::TextSource& source = sources.emplace_back();
      if (item.text) source.text = *item.text;
    }
    const auto space = ranking::TextSpace::fit(sources, {});
    texts.resize(train.items * space.width());
    for (std::size_t i = 0; i < items.size(); ++i) {
      space.encode(sources[i],
                   std::span(texts).subspan(items[i].row * space.width(), space.width()));
    }
    whitened.resize(train.items * space.whitened_width());
    space.whiten(texts, whitened);
    train.texts = texts;
    train.text_width = space.width();
    train.whitened = whitened;
    train.whitened_width = space.whitened_width();
    // Masked, an answer in the history cannot be found, as evaluate has it.
    std::erase_if(test, [](const ranking::HeldOut& question) {
      return std::ranges::any_of(question.history, [&](const ranking::Behaviour& b) {
        return b.row == question.target.row;
      });
    });
  }
  std::unique_ptr<storage::Db> db;
  std::vector<float> texts, whitened;
  ranking::TrainData train;
  std::vector<ranking::HeldOut> test;
};

/// Read from `file`, or made and kept there.
ranking::EncoderWeights encoder(const std::filesystem::path& file, const Data& data,
                                const ranking::Interactions& sequences,
                                std::span<const ranking::HeldOut> validation,
                                const ranking::EncoderWeights* from, const TrainOptions& options) {
  if (std::filesystem::exists(file)) {
    return ranking::EncoderWeights::load(ranking::Weights::load(file));
  }
  double seconds = 0;
  std::size_t epochs = 0;
  const ranking::EncoderFit fit =
      train_encoder(data.train, sequences, validation, 0, from, options, "encoder",
                    {[&](const ranking::TrainProgress& progress) {
                       seconds += progress.seconds;
                       ++epochs;
                     },
                     {},
                     {}});
  std::cerr << fmt::format("{}: {:.1f} s an epoch, {} epochs, validation ndcg@10 {:.4f}\n",
                           file.filename().string(), seconds / static_cast<double>(epochs), epochs,
                           fit.validation_ndcg_10);
  ranking::Weights weights;
  fit.weights.save(weights);
  weights.save(file);
  return fit.weights;
}

struct Quality {
  double hr_10 = 0, ndcg_10 = 0;
};

Quality quality(std::span<const std::optional<std::size_t>> places) {
  Quality result;
  for (const auto& place : places) {
    if (!place || *place >= 10) continue;
    result.hr_10 += 1;
    result.ndcg_10 += 1 / std::log2(static_cast<double>(*place) + 2);
  }
  result.hr_10 /= static_cast<double>(places.size());
  result.ndcg_10 /= static_cast<double>(places.size());
  return result;
}

struct Spread {
  std::vector<double> values;
  double mean() const {
    double sum = 0;
    for (const double v : values) sum += v;
    return sum / static_cast<double>(values.size());
  }
  double deviation() const {
    double squares = 0;
    for (const double v : values) squares += (v - mean()) * (v - mean());
    return values.size() < 2 ? 0 : std::sqrt(squares / static_cast<double>(values.size() - 1));
  }
};

/// The figures of one variant, a value for each seed.
struct Row {
  std::string name;
  Spread hr_10, ndcg_10, cold_hr_10, seconds;
};

/// Trains and measures one variant with one seed. `retrieval` gets what the same encoder gives
/// without a ranker.
void measure(const Data& data, const std::filesystem::path& encoders, const Variant& variant,
             const TrainOptions& options, Row& row, Row& retrieval) {
  const auto file = [&](const char* part, std::size_t examples) {
    return encoders / fmt::format("seed{}-examples{}-itemdropout{}{}{}-{}.safetensors",
                                  options.seed, examples, options.item_dropout,
                                  options.gates ? "-gates" : "",
                                  options.relative_bias ? "-bias" : "", part);
  };
  const ranking::TrainData& train = data.train;
  const ranking::Unseen unseen =
      hold_out_newest(train, std::numeric_limits<std::int64_t>::min(), options);
  const auto early = encoder(file("early", options.ranker_examples), data, unseen.sequences,
                             unseen.questions, nullptr, options);
  TrainOptions second = options;
  if (variant.continues) second.epochs_min = 0;
  const auto whole =
      variant.continues
          ? encoder(file("continued", options.ranker_examples), data, train.interactions,
                    train.validation, &early, second)
          : encoder(file("whole", 0), data, train.interactions, train.validation, nullptr, options);

  const auto start = std::chrono::steady_clock::now();
  const ranking::EaseOptions ease_options{.items_max = options.ease_items_max};
  const auto fit = [&] {
    const auto transitions =
        ranking::Transitions::count(unseen.sequences, train.items, train.action_weights, {});
    const auto ease = solve_ease(unseen.sequences, train.items, train.action_weights, ease_options,
                                 options.threads);
    const auto popularity = log_popularity(unseen.sequences, train.items, train.action_weights);
    return train_ranker(train, {early, transitions, ease, popularity}, unseen.questions, nullptr,
                        options, {});
  }();
  const auto transitions =
      ranking::Transitions::count(train.interactions, train.items, train.action_weights, {});
  const auto ease = solve_ease(train.interactions, train.items, train.action_weights, ease_options,
                               options.threads);
  const auto popularity = log_popularity(train.interactions, train.items, train.action_weights);
  const double seconds = seconds_since(start);

  const ranking::RankerBase base{whole, transitions, ease, popularity};
  std::vector<ranking::HeldOut> cold;
  for (const auto& question : data.test) {
    if (popularity[question.target.row] == 0) cold.push_back(question);
  }
  const auto add = [&](const ranking::RankerWeights& ranker, Row& to) {
    constexpr std::size_t kRetrieved = 500;  // of each source; serving takes as many of all
    const Quality all = quality(ranked_places(train, base, ranker, data.test, kRetrieved, options));
    to.hr_10.values.push_back(all.hr_10);
    to.ndcg_10.values.push_back(all.ndcg_10);
    to.cold_hr_10.values.push_back(
        quality(ranked_places(train, base, ranker, cold, kRetrieved, options)).hr_10);
    to.seconds.values.push_back(seconds);
  };
  ranking::RankerWeights ranker = fit.weights;
  if (variant.carries_over) {
    const ranking::Context context{options.threads};
    carry_over(all_item_vectors(context, early, train.whitened.data()).values(),
               all_item_vectors(context, whole, train.whitened.data()).values(),
               log_popularity(unseen.sequences, train.items, train.action_weights), ranker);
  }
  add(ranker, row);
  ranking::RankerWeights alone(fit.weights.shape);
  alone.linear[ranking::kRetrieval] = 1;
  add(alone, retrieval);
  std::cerr << fmt::format("{}, seed {}: {} ranker epochs, hr@10 {:.4f}, ndcg@10 {:.4f}\n",
                           row.name, options.seed, fit.epochs, row.hr_10.values.back(),
                           row.ndcg_10.values.back());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What each choice of the recipe is worth");
  std::filesystem::path directory;
  std::filesystem::path encoders;
  std::size_t seeds = 3;
  std::vector<std::string> only;
  std::size_t generate = 0;
  std::size_t epochs_max = TrainOptions().epochs_max;
  app.add_option("--data", directory, "Data directory that import filled")->required();
  app.add_option("--encoders", encoders, "Folder in which trained encoders are kept")->required();
  app.add_option("--seeds", seeds, "Seeds from 1")->capture_default_str();
  app.add_option("--only", only, "Names of the variants to measure; all when left out");
  app.add_option(
      "--generate", generate,
      "Fill the data directory with a generated shop of this many users, 20 for an item");
  app.add_option("--epochs-max", epochs_max, "As of fovea train")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (generate > 0) {
    benchmarks::generate(directory, {.users = generate, .items = generate / 20, .seed = 1});
  }
  std::filesystem::create_directories(encoders);
  const Data data(directory);

  std::vector<Row> rows;
  for (const Variant& variant : kVariants) {
    if (!only.empty() && std::ranges::find(only, variant.name) == only.end()) continue;
    Row row{.name = variant.name, .hr_10 = {}, .ndcg_10 = {}, .cold_hr_10 = {}, .seconds = {}};
    Row without_ranker = row;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      TrainOptions options;
      options.seed = seed;
      options.epochs_max = epochs_max;
      variant.change(options);
      measure(data, encoders, variant, options, row, without_ranker);
    }
    if (rows.empty()) {
      without_ranker.name = "retrieval alone";
      rows.push_back(std::move(without_ranker));
    }
    rows.push_back(std::move(row));
  }
  std::cout << fmt::format("{:<32}{:>18}{:>18}{:>18}{:>12}\n", "", "hr@10", "ndcg@10", "cold hr@10",
                           "ranker s");
  for (const Row& row : rows) {
    const auto show = [](const Spread& s) {
      return fmt::format("{:.4f} ± {:.4f}", s.mean(), s.deviation());
    };
    std::cout << fmt::format("{:<32}{:>18}{:>18}{:>18}{:>12.0f}\n", row.name, show(row.hr_10),
                             show(row.ndcg_10), show(row.cold_hr_10), row.seconds.mean());
  }
}
