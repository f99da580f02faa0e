// The ablation table of BENCHMARKS.md: what each choice of the ranker is worth, on data imported
// into a store. The two encoders of a seed are trained once and kept in a folder; every variant of
// the ranker is fitted over them and asked the leave-one-out questions.
//   ablation --data DIR --encoders DIR [--seeds 3] [--only NAME ...]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <iostream>

#include "engine/dataset.h"
#include "engine/split.h"
#include "ranking/ease.h"
#include "ranking/encoder_trainer.h"
#include "ranking/ranker_trainer.h"
#include "ranking/text_space.h"
#include "ranking/unseen.h"
#include "storage/db.h"

namespace {

using namespace fovea;
using ranking::TrainOptions;

struct Variant {
  const char* name;
  std::function<void(TrainOptions&)> change;
};

const std::vector<Variant> kVariants = {
    {"default", [](TrainOptions&) {}},
    {"one example a user", [](TrainOptions& o) { o.ranker_examples = 1; }},
    {"without transitions' feature", [](TrainOptions& o) { o.transition_features = false; }},
    {"without EASE", [](TrainOptions& o) { o.ease_features = false; }},
    {"without text cosines", [](TrainOptions& o) { o.text_features = false; }},
    {"without vector cosines", [](TrainOptions& o) { o.vector_features = false; }},
    {"without popularity", [](TrainOptions& o) { o.popularity_features = false; }},
    {"without target attention", [](TrainOptions& o) { o.target_attention = false; }},
    {"attention without products", [](TrainOptions& o) { o.attention_products = false; }},
    {"fresh 0", [](TrainOptions& o) { o.ranker_fresh = 0; }},
    {"fresh .05", [](TrainOptions& o) { o.ranker_fresh = 0.05; }},
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
    // Masked, an answer in the history cannot be found.
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

ranking::EncoderWeights encoder(const std::filesystem::path& file,
                                const std::function<ranking::EncoderFit()>& make) {
  if (std::filesystem::exists(file)) {
    return ranking::EncoderWeights::load(ranking::Weights::load(file));
  }
  const auto start = std::chrono::steady_clock::now();
  const ranking::EncoderFit fit = make();
  std::cerr << fmt::format("{}: {} epochs kept, validation ndcg@10 {:.4f}, {:.0f} s\n",
                           file.filename().string(), fit.epochs, fit.validation_ndcg_10,
                           seconds_since(start));
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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What each choice of the ranker is worth");
  std::filesystem::path data_directory;
  std::filesystem::path encoders = "encoders";
  std::size_t seeds = 1;
  std::size_t first_seed = 1;
  std::vector<std::string> only;
  app.add_option("--data", data_directory)->required();
  app.add_option("--encoders", encoders);
  app.add_option("--seeds", seeds);
  app.add_option("--first-seed", first_seed);
  app.add_option("--only", only);
  CLI11_PARSE(app, argc, argv);
  std::filesystem::create_directories(encoders);
  const Data data(data_directory);

  struct Row {
    Spread validation, validation_ndcg, hr, ndcg, seconds;
  };
  std::vector<Row> rows(kVariants.size());
  Row retrieval;
  for (std::size_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    TrainOptions options;
    options.seed = seed;
    const auto quiet = [](const ranking::TrainProgress& p) {
      std::cerr << fmt::format("\r{} {} {:.4f} {:.4f}   ", p.stage, p.epoch, p.loss,
                               p.validation_ndcg_10.value_or(0));
    };
    for (std::size_t v = 0; v < kVariants.size(); ++v) {
      if (!only.empty() && std::ranges::find(only, kVariants[v].name) == only.end()) continue;
      TrainOptions changed = options;
      kVariants[v].change(changed);
      const std::string key =
          fmt::format("{}-{}-{}", seed, changed.behaviours_max, changed.ranker_examples);
      const ranking::Unseen unseen =
          hold_out_newest(data.train, std::numeric_limits<std::int64_t>::min(), changed);
      const auto early = encoder(encoders / (key + "-early.safetensors"), [&] {
        return train_encoder(data.train, unseen.sequences, unseen.questions, 0, nullptr, changed,
                             "early", {quiet, {}, {}});
      });
      const auto final_encoder = encoder(
          encoders / fmt::format("{}-{}-final.safetensors", seed, changed.behaviours_max), [&] {
            return train_encoder(data.train, data.train.interactions, data.train.validation, 0,
                                 nullptr, changed, "final", {quiet, {}, {}});
          });
      const auto start = std::chrono::steady_clock::now();
      const auto early_transitions = ranking::Transitions::count(unseen.sequences, data.train.items,
                                                                 data.train.action_weights, {});
      const auto early_popularity = log_popularity(unseen.sequences, data.train);
      ranking::EaseOptions ease_options;
      ease_options.items_max = changed.ease_items_max;
      const auto early_ease = solve_ease(unseen.sequences, data.train.items,
                                         data.train.action_weights, ease_options, 2);
      const auto ease = solve_ease(data.train.interactions, data.train.items,
                                   data.train.action_weights, ease_options, 2);
      std::cerr << fmt::format("ease {:.1f} s  ", seconds_since(start));
      const ranking::RankerFit fit =
          train_ranker(data.train, {early, early_transitions, early_ease, early_popularity},
                       unseen.questions, nullptr, changed, {quiet, {}, {}});
      const auto transitions = ranking::Transitions::count(
          data.train.interactions, data.train.items, data.train.action_weights, {});
      const auto popularity = log_popularity(data.train.interactions, data.train);
      const ranking::RankerBase base{final_encoder, transitions, ease, popularity};
      const Quality test =
          quality(ranked_places(data.train, base, fit.weights, data.test, 500, changed));
      const Quality validation = quality(
          ranked_places(data.train, base, fit.weights, data.train.validation, 500, changed));
      std::vector<ranking::HeldOut> cold;
      for (const auto* questions : {&data.test, &data.train.validation}) {
        for (const auto& question : *questions) {
          if (popularity[question.target.row] == 0) cold.push_back(question);
        }
      }
      const auto cold_places = ranked_places(data.train, base, fit.weights, cold, 500, changed);
      const Quality cold_quality = quality(cold_places);
      std::cerr << fmt::format(
          "cold {} retrieved {} hr {:.4f}\n", cold.size(),
          std::ranges::count_if(cold_places, [](const auto& p) { return p.has_value(); }),
          cold_quality.hr_10);
      rows[v].hr.values.push_back(test.hr_10);
      rows[v].ndcg.values.push_back(test.ndcg_10);
      rows[v].validation.values.push_back(validation.hr_10);
      rows[v].validation_ndcg.values.push_back(validation.ndcg_10);
      rows[v].seconds.values.push_back(seconds_since(start));
      std::cerr << fmt::format(
          "\r{:<40} seed {} epochs {:2} own {:.4f}  valid {:.4f} {:.4f}  test {:.4f} {:.4f}  "
          "{:.0f} s\n",
          kVariants[v].name, seed, fit.epochs, fit.validation_ndcg_10, validation.hr_10,
          validation.ndcg_10, test.hr_10, test.ndcg_10, seconds_since(start));
    }
  }
  std::cout << fmt::format("{:<40}{:>18}{:>18}{:>18}{:>18}\n", "", "valid hr@10", "valid ndcg@10",
                           "test hr@10", "test ndcg@10");
  for (std::size_t v = 0; v < kVariants.size(); ++v) {
    const Row& row = rows[v];
    if (row.hr.values.empty()) continue;
    const auto show = [](const Spread& s) {
      return fmt::format("{:.4f} ± {:.4f}", s.mean(), s.deviation());
    };
    std::cout << fmt::format("{:<40}{:>18}{:>18}{:>18}{:>18}\n", kVariants[v].name,
                             show(row.validation), show(row.validation_ndcg), show(row.hr),
                             show(row.ndcg));
  }
}
