#include "engine/learning.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/continuation.h"
#include "engine/dataset.h"
#include "engine/encoded_texts.h"
#include "engine/encoder_files.h"
#include "engine/gate.h"
#include "engine/models.h"
#include "engine/request.h"
#include "index/vector_index.h"
#include "ranking/device.h"
#include "ranking/sentence_encoder.h"
#include "ranking/text_space.h"
#include "ranking/unseen.h"
#include "storage/db.h"

namespace fovea::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Texts and embeddings of the whole catalogue: one block of each, not a million small ones.
struct CatalogueTexts {
  std::vector<std::uint32_t> rows;  ///< Of the present items, ascending.
  std::string text;
  std::vector<std::size_t> text_ends;  ///< By present item.
  std::vector<float> embeddings;
  std::vector<bool> has_embedding;  ///< By present item; the embeddings stand one after another.

  std::vector<ranking::TextSource> sources(std::size_t width) const {
    std::vector<ranking::TextSource> result(rows.size());
    std::size_t text_begin = 0;
    std::size_t embedding = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      result[i].text = std::string_view(text).substr(text_begin, text_ends[i] - text_begin);
      text_begin = text_ends[i];
      if (has_embedding[i])
        result[i].embedding = std::span(embeddings).subspan(width * embedding++, width);
    }
    return result;
  }
};

CatalogueTexts read_texts(const storage::Catalog& catalog) {
  CatalogueTexts texts;
  catalog.for_each([&](const storage::StoredItem& item) {
    texts.rows.push_back(item.row);
    if (item.text) texts.text += *item.text;
    texts.text_ends.push_back(texts.text.size());
    texts.has_embedding.push_back(item.embedding.has_value());
    if (item.embedding) {
      texts.embeddings.insert(texts.embeddings.end(), item.embedding->begin(),
                              item.embedding->end());
    }
  });
  return texts;
}

/// Calls `work(begin, end)` for parts of 0 .. n - 1, the last part in this thread.
template <typename Work>
void in_parts(std::size_t n, int threads, const Work& work) {
  const auto parts = static_cast<std::size_t>(std::max(threads, 1));
  std::vector<std::jthread> others;
  for (std::size_t part = 0; part + 1 < parts; ++part) {
    others.emplace_back(
        [&work, n, part, parts] { work(n * part / parts, n * (part + 1) / parts); });
  }
  work(n * (parts - 1) / parts, n);
}

/// Index over some rows of `vectors` [V, width].
std::unique_ptr<const index::VectorIndex> build(std::span<const std::uint32_t> rows,
                                                std::span<const float> vectors, std::size_t width,
                                                const ranking::TrainOptions& options) {
  index::IndexOptions index_options;
  index_options.seed = options.seed;
  if (rows.size() * width == vectors.size()) {
    return index::build_index(rows, vectors, width, index_options, options.threads);
  }
  std::vector<float> gathered(rows.size() * width);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(vectors.begin() + static_cast<std::ptrdiff_t>(rows[i] * width), width,
                gathered.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  return index::build_index(rows, gathered, width, index_options, options.threads);
}

/// Whether there is a next behaviour to learn to tell.
bool enough_to_learn(const ranking::Interactions& interactions,
                     std::span<const float> action_weights) {
  for (std::size_t user = 0; user < interactions.users(); ++user) {
    const auto positive = std::ranges::count_if(
        interactions.user(user),
        [&](const ranking::Behaviour& behaviour) { return action_weights[behaviour.action] > 0; });
    if (positive >= 2) return true;
  }
  return false;
}

std::string describe(const ranking::TrainProgress& progress) {
  std::string line = fmt::format("epoch {}: loss {:.4f}", progress.epoch, progress.loss);
  if (progress.validation_ndcg_10)
    line += fmt::format(", validation ndcg@10 {:.4f}", *progress.validation_ndcg_10);
  return line + fmt::format(", {:.1f} s", progress.seconds);
}

std::string describe_left(double seconds) {
  if (seconds < 100) return fmt::format("{:.0f} s left", seconds);
  if (seconds < 6000) return fmt::format("{:.0f} min left", seconds / 60);
  return fmt::format("{:.1f} h left", seconds / 3600);
}

/// The steps of one training, in order; each leaves in `version` what it made.
class Learning {
 public:
  Learning(storage::Db& db, const Versions* versions, const LearnOptions& options,
           const std::function<void(const LearnProgress&)>& progress)
      : db_(db), versions_(versions), options_(options), progress_(progress) {
    const bool there = options.device == DeviceChoice::kGpu ||
                       (options.device == DeviceChoice::kAuto && ranking::device_count().count > 0);
    if (there) device_ = ranking::Device::open();
    version_.card.device = device_ ? device_->name() : "CPU";
    if (versions != nullptr && !options.from.empty())
      base_ = load_base(*versions, options.from, options.split, options.train);
    choose_encoder();
  }

  Version run() {
    read();
    stop_if_asked();
    fit_texts();
    stop_if_asked();
    learn();
    build_indexes();
    stop_if_asked();
    return std::move(version_);
  }
  std::size_t items() const { return rows_.size(); }
  /// Once the version is published: what no other training needs.
  void forget() {
    if (checkpoint_) checkpoint_->remove();
    EncodedTexts::forget_others(versions_->directory(), encoder_id_);
  }

 private:
  /// What was asked for; else what the base has, or the version that serves.
  void choose_encoder() {
    const std::optional<EncoderFiles> before = base_ ? base_->encoder : current_encoder();
    const auto id = [](const auto& encoder) { return encoder ? encoder->id() : std::string(); };
    const auto& asked = options_.text_encoder;
    if (asked && *asked != "lsa") version_.encoder = EncoderFiles::of(*asked);
    // Equal files are taken from the version, whose folder a new one can share.
    if (!asked || id(version_.encoder) == id(before)) version_.encoder = before;
    encoder_id_ = id(version_.encoder);
    if (base_ && encoder_id_ != id(before)) {
      throw InvalidRequest(
          "text-encoder",
          fmt::format("the texts of version {} were encoded by {} and this training names {}; "
                      "leave --text-encoder out, or train without --from",
                      base_->card.version, base_->card.text_encoder, *asked));
    }
    if (!base_ && version_.encoder) sentences_ = version_.encoder->load();
  }

  std::optional<EncoderFiles> current_encoder() const try {
    if (versions_ == nullptr) return std::nullopt;
    return versions_->encoder();
  } catch (const VersionError& error) {
    if (options_.text_encoder) return std::nullopt;
    throw InvalidRequest("text-encoder",
                         fmt::format("{}; say what encodes the texts instead: --text-encoder with "
                                     "the folder of a sentence encoder, or lsa",
                                     error.what()));
  }

  void read() {
    const auto start = Clock::now();
    const storage::Catalog& catalog = db_.catalog();
    if (catalog.size() == 0) {
      throw InvalidRequest("items", "the catalogue is empty; import or put items first");
    }
    Dataset dataset = read_dataset(db_);
    version_.card.items = catalog.rows();
    version_.card.catalog_revision = catalog.revision();
    version_.card.split = options_.split;
    version_.card.options = options_.train;
    version_.card.users = dataset.interactions.users();
    const std::size_t behaviours = dataset.interactions.behaviours.size();

    SplitData parts =
        split(std::move(dataset.interactions), options_.split, dataset.action_weights);
    version_.card.behaviours = parts.train.behaviours.size();
    for (const ranking::Behaviour& behaviour : parts.train.behaviours) {
      version_.card.newest_ms = std::max(version_.card.newest_ms, behaviour.time_ms);
    }
    if (base_) {
      version_.card.from = base_->card.version;
      version_.card.continued = base_->card.continued + 1;
      check_base(*base_, options_.split, parts, catalog.embedding_width());
      const auto fresh =
          std::ranges::count_if(parts.train.behaviours, [&](const ranking::Behaviour& behaviour) {
            return behaviour.time_ms > base_->card.newest_ms;
          });
      say("from", fmt::format("version {}, {} of {} behaviours are newer", version_.card.from,
                              fresh, version_.card.behaviours));
    }
    version_.log_popularity =
        ranking::log_popularity(parts.train, version_.card.items, dataset.action_weights);
    data_.interactions = std::move(parts.train);
    data_.validation = std::move(parts.validation);
    data_.action_weights = std::move(dataset.action_weights);
    say("read", fmt::format("{} items, {} users, {} behaviours, of which {} train, {:.1f} s",
                            catalog.size(), version_.card.users, behaviours,
                            version_.card.behaviours, seconds_since(start)));
  }

  void fit_texts() {
    const auto start = Clock::now();
    const storage::Catalog& catalog = db_.catalog();
    CatalogueTexts texts = read_texts(catalog);
    ranking::TextSpace::Options options;
    options.width = catalog.embedding_width().value_or(options.width);
    options.seed = options_.train.seed;
    options.threads = options_.train.threads;
    options.sentences = sentences_;
    const ranking::SentenceEncoder* encoder =
        base_ ? base_->text_space.sentences() : sentences_.get();
    std::vector<ranking::TextSource> sources = texts.sources(options.width);
    std::vector<float> encoded;  // that `sources` read
    if (encoder != nullptr) {
      check_embeddings(encoder->width());
      options.width = encoder->width();
      encoded = encode(*encoder, sources);
    }
    // The base's encoder has learned to read the directions of its own space.
    version_.text_space =
        base_ ? std::move(base_->text_space) : ranking::TextSpace::fit(sources, options);

    const std::size_t width = version_.text_space.width();
    version_.texts.assign(version_.card.items * width, 0);
    std::vector<char> known(sources.size());  // not vector<bool>: written by several threads
    in_parts(sources.size(), options.threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        known[i] = version_.text_space.encode(
                       sources[i], std::span(version_.texts).subspan(texts.rows[i] * width, width))
                       ? 1
                       : 0;
      }
    });
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (known[i] != 0) text_rows_.push_back(texts.rows[i]);
    }
    rows_ = std::move(texts.rows);
    say("text",
        fmt::format("{} of {} items have a text or an embedding, {} channels{}, {:.1f} s",
                    text_rows_.size(), rows_.size(), width,
                    version_.encoder ? " by " + version_.encoder->name : "", seconds_since(start)));
  }

  void check_embeddings(std::size_t width) const {
    const auto embedding_width = db_.catalog().embedding_width();
    if (!embedding_width || *embedding_width == width) return;
    throw InvalidRequest("text-encoder",
                         fmt::format("the items' embeddings have {} channels and the text encoder "
                                     "{} makes {}; an encoder of that many is right, or lsa",
                                     *embedding_width, version_.encoder->name, width));
  }

  /// Has the encoder read what has a text only. What it makes is returned, and stands in for
  /// embeddings from here on.
  std::vector<float> encode(const ranking::SentenceEncoder& encoder,
                            std::span<ranking::TextSource> sources) const {
    std::vector<std::string_view> texts;
    std::vector<ranking::TextSource*> of;
    for (ranking::TextSource& source : sources) {
      if (source.text.empty() || !source.embedding.empty()) continue;
      texts.push_back(source.text);
      of.push_back(&source);
    }
    const std::size_t width = encoder.width();
    std::vector<float> vectors(texts.size() * width);
    EncodedTexts encoded(
        versions_ == nullptr ? std::filesystem::path() : versions_->directory(), encoder_id_,
        {.say = [this](const std::string& line) { say("text", line); },
         .progress =
             [this](std::size_t done, std::size_t all, double rate) {
               const double left_s = static_cast<double>(all - done) / rate;
               if (progress_) {
                 progress_({"text",
                            fmt::format("{:.0f} texts a second, {}", rate, describe_left(left_s)),
                            done, all});
               }
             },
         .stop = options_.stop});
    encoded.encode(encoder, texts, options_.train.threads, vectors);
    stop_if_asked();
    for (std::size_t i = 0; i < of.size(); ++i) {
      of[i]->embedding = std::span(vectors).subspan(i * width, width);
    }
    return vectors;
  }

  void learn() {
    if (!enough_to_learn(data_.interactions, data_.action_weights)) return;
    std::vector<float> whitened(version_.card.items * version_.text_space.whitened_width());
    version_.text_space.whiten(version_.texts, whitened);
    data_.items = version_.card.items;
    data_.texts = version_.texts;
    data_.text_width = version_.text_space.width();
    data_.whitened = whitened;
    data_.whitened_width = version_.text_space.whitened_width();
    take_up_checkpoint();
    ranking::TrainWatch watch;
    watch.progress = [this](const ranking::TrainProgress& progress) {
      version_.log.push_back(progress);
      say(progress.stage, describe(progress));
    };
    if (checkpoint_) {
      watch.checkpoint = [this](const std::string& stage, bool last, const auto& state) {
        const bool stopping = options_.stop.stop_requested();
        checkpoint_->keep(stage, last || stopping, state, version_.log);
        stop_if_asked();
      };
      watch.resume = [this](const std::string& stage) { return checkpoint_->resume(stage); };
    }
    std::optional<ranking::TrainFrom> from;
    if (base_) from = {&*base_->model, base_->card.newest_ms};
    ranking::TrainOptions options = options_.train;
    options.device = device_.get();
    ranking::TrainResult result = ranking::train(data_, from, options, watch);
    device_.reset();
    if (base_ && !result.ranker_fitted) {
      say("ranker", result.questions < options_.train.refit_questions_min
                        ? fmt::format("that of version {} stays: {} users have unseen behaviours, "
                                      "and fewer than {} say less than it knows",
                                      base_->card.version, result.questions,
                                      options_.train.refit_questions_min)
                        : fmt::format("that of version {} stays: {} unseen behaviours made no "
                                      "better one",
                                      base_->card.version, result.questions));
    }
    data_ = {};
    version_.card.metrics["validation_encoder_ndcg@10"] = result.encoder_validation_ndcg_10;
    if (!base_ || result.ranker_fitted) {  // the base's stays without a figure of this training
      auto& metrics = version_.card.metrics;
      metrics["validation_ranker_ndcg@10"] = result.ranker_validation_ndcg_10;
      metrics["validation_popular_ndcg@10"] = result.popular_validation_ndcg_10;
      metrics["validation_ranker_questions"] =
          static_cast<double>(result.ranker_validation_questions);
    }
    version_.model = std::move(result.model);

    const std::size_t width = version_.model->width();
    std::vector<std::uint32_t> all(version_.card.items);
    std::iota(all.begin(), all.end(), 0U);
    version_.vectors.resize(all.size() * width);
    version_.model->item_vectors(ranking::Context{options_.train.threads}, all, whitened,
                                 version_.vectors);
    for (const std::uint32_t row : all) {  // what was removed has no vector
      if (!std::ranges::binary_search(rows_, row)) {
        std::fill_n(version_.vectors.begin() + static_cast<std::ptrdiff_t>(row * width), width,
                    0.0F);
      }
    }
  }

  void take_up_checkpoint() {
    if (versions_ == nullptr) return;
    checkpoint_.emplace(
        versions_->directory(),
        identity(version_.card, options_.train, data_, encoder_id_.empty() ? "lsa" : encoder_id_),
        [this](const std::string& line) { say("checkpoint", line); });
    if (options_.fresh) {
      checkpoint_->remove();
    } else {
      checkpoint_->take_up();
      version_.log = checkpoint_->log();
    }
  }

  void build_indexes() {
    const auto start = Clock::now();
    version_.text_index =
        build(text_rows_, version_.texts, version_.text_space.width(), options_.train);
    if (version_.model) {
      version_.item_index = build(rows_, version_.vectors, version_.model->width(), options_.train);
    }
    say("index",
        fmt::format("{} items, {}, {:.1f} s", rows_.size(),
                    (version_.item_index ? version_.item_index : version_.text_index)->kind(),
                    seconds_since(start)));
  }

  void stop_if_asked() const {
    if (options_.stop.stop_requested()) {
      throw Stopped(
          "the training was stopped; the next one with the same data and options goes on");
    }
  }

  void say(std::string stage, std::string message) const {
    if (progress_) progress_({std::move(stage), std::move(message)});
  }

  storage::Db& db_;
  const Versions* versions_;  // null: nothing on disk is read or written
  const LearnOptions& options_;
  const std::function<void(const LearnProgress&)>& progress_;
  std::unique_ptr<ranking::Device> device_;  // null: the CPU
  std::optional<Version> base_;              // what it goes on from
  std::optional<Checkpoint> checkpoint_;
  std::shared_ptr<const ranking::SentenceEncoder> sentences_;  // null: LSA's, or the base's
  std::string encoder_id_;                                     // empty: LSA
  Version version_;
  ranking::TrainData data_;
  std::vector<std::uint32_t> rows_;       // of present items, ascending
  std::vector<std::uint32_t> text_rows_;  // of those with a text vector
};

}  // namespace

Version learn_version(storage::Db& db, const LearnOptions& options,
                      const std::function<void(const LearnProgress&)>& progress) {
  return Learning(db, nullptr, options, progress).run();
}

LearnResult learn(const std::filesystem::path& data_directory, const LearnOptions& options,
                  const std::function<void(const LearnProgress&)>& progress) {
  const auto start = Clock::now();
  if (options.train.width % options.train.heads != 0) {
    throw InvalidRequest("heads",
                         fmt::format("{} heads do not divide a width of {}; take 1, 2 or 4",
                                     options.train.heads, options.train.width));
  }
  // Opened before anything is created in the directory: a wrong one stays as it is.
  std::unique_ptr<storage::Db> db = storage::Db::open(data_directory, storage::Access::kReadOnly);
  const Versions versions(data_directory);
  const Versions::Lock lock = versions.lock_training();

  Learning learning(*db, &versions, options, progress);
  Version version = learning.run();
  version.card.trained_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                                std::chrono::system_clock::now().time_since_epoch())
                                .count();
  version.card.fovea_version = FOVEA_VERSION;

  LearnResult result;
  result.items = learning.items();
  result.users = version.card.users;
  result.behaviours = version.card.behaviours;
  result.has_model = version.model.has_value();
  result.from = version.card.from;
  result.log = version.log;
  const auto writing = Clock::now();
  Draft draft = versions.write(std::move(version));
  if (!options.force && result.has_model) {
    const auto judging = Clock::now();
    const Judgement judgement = judge(*db, versions, draft, options.train.threads);
    if (progress) {
      progress({"gate", fmt::format("{}, {:.1f} s", judgement.figures, seconds_since(judging))});
    }
    if (!judgement.passed) {
      throw NotPublished(
          fmt::format("the new version is not published, it is not good enough: {}; "
                      "the same training with --force publishes it anyway",
                      judgement.figures));
    }
    draft.card().metrics.insert(judgement.metrics.begin(), judgement.metrics.end());
  }
  db.reset();
  result.metrics = draft.card().metrics;
  result.version = versions.publish(std::move(draft), options.versions_kept);
  learning.forget();
  if (progress)
    progress(
        {"publish", fmt::format("version {}, {:.1f} s", result.version, seconds_since(writing))});
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace fovea::engine
