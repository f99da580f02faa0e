#include "shop.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "engine/behaviours.h"
#include "ranking/ease.h"
#include "ranking/encoder.h"
#include "ranking/ranker.h"

namespace fovea::engine {
namespace {

constexpr std::array<const char*, Shop::kKinds> kKindNames = {"dragons", "trains", "soup", "music"};
constexpr std::array<const char*, Shop::kKinds> kKindWords = {
    "fantasy winged scales treasure cave", "railway steam engine station timetable",
    "kitchen broth vegetables spoon recipe", "violin orchestra concert melody tune"};
constexpr std::array<const char*, Shop::kItemsPerKind> kOwnWords = {
    "amber", "birch", "cedar", "dune",  "ember", "fjord",   "grove",  "heath", "inlet", "jade",
    "knoll", "lake",  "marsh", "north", "ochre", "prairie", "quarry", "ridge", "shore", "tundra"};

}  // namespace

Shop::Shop() {
  std::string pattern = std::filesystem::temp_directory_path() / "fovea-shop-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
  directory_ = pattern;
}

Shop::~Shop() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

EngineOptions Shop::options() {
  EngineOptions options;
  options.now_ms = [this] { return now_ms; };
  options.reload_interval = std::chrono::milliseconds(0);
  return options;
}

std::string Shop::id(std::size_t kind, std::size_t number) {
  return std::string(kKindNames[kind]) + "-" + std::to_string(number);
}

std::string Shop::kind_of(const std::string& item_id) {
  return item_id.substr(0, item_id.find('-'));
}

Item Shop::item(std::size_t kind, std::size_t number) {
  Item item;
  item.item_id = id(kind, number);
  item.text = std::string(kKindNames[kind]) + " " + kKindWords[kind] + " " + kOwnWords[number];
  return item;
}

Event Shop::event(std::string user, std::string item) const {
  return {std::move(user), std::move(item), "view", now_ms, {}, {}, {}};
}

void Shop::stock(Engine& engine) {
  engine.declare_action("view", 1);
  engine.declare_action("skip", -1);
  std::vector<Item> items;
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    for (std::size_t number = 0; number < kItemsPerKind; ++number) {
      items.push_back(item(kind, number));
    }
  }
  engine.put_items(items);
  std::vector<Event> events;
  for (std::size_t user = 0; user < kUsers; ++user) {
    for (std::size_t i = 0; i < 10; ++i) {
      auto seen = event("user-" + std::to_string(user),
                        id(user % kKinds, (user / kKinds * 3 + i) % kItemsPerKind));
      seen.time_ms = now_ms - static_cast<std::int64_t>(10 - i) * 60'000;
      events.push_back(std::move(seen));
    }
  }
  engine.record(events);
}

Version Shop::text_version(storage::Db& db) const {
  const storage::Catalog& catalog = db.catalog();
  // In this order, since items may be put meanwhile: what has no row here is newer than the
  // revision, and whoever serves this version catches up with it.
  const std::uint64_t revision = catalog.revision();
  const std::size_t rows = catalog.rows();
  std::vector<storage::StoredItem> items;
  catalog.for_each([&](const storage::StoredItem& item) {
    if (item.row < rows) items.push_back(item);
  });
  std::vector<ranking::TextSource> sources;
  for (const auto& item : items) sources.push_back({*item.text, {}});

  Version version;
  version.card.items = rows;
  version.card.catalog_revision = revision;
  version.card.trained_ms = now_ms;
  version.card.metrics["ndcg@10"] = 0.125;
  version.card.fovea_version = "test";
  ranking::TextSpace::Options options;
  options.width = 8;
  version.text_space = ranking::TextSpace::fit(sources, options);
  const std::size_t width = version.text_space.width();
  version.texts.resize(rows * width);
  std::vector<std::uint32_t> indexed;
  std::vector<float> vectors;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto out = std::span(version.texts).subspan(items[i].row * width, width);
    if (!version.text_space.encode(sources[i], out)) continue;
    indexed.push_back(items[i].row);
    vectors.insert(vectors.end(), out.begin(), out.end());
  }
  version.text_index = index::build_index(indexed, vectors, width);
  version.log_popularity.resize(rows);
  db.history().for_each_user([&](std::string_view, std::span<const storage::Event> events) {
    ++version.card.users;
    for (const auto& event : events) {
      ++version.card.behaviours;
      version.card.newest_ms = std::max(version.card.newest_ms, event.time_ms);
      version.log_popularity[event.row] += 1;
    }
  });
  for (float& count : version.log_popularity) count = std::log1p(count);
  return version;
}

Version Shop::learned_version(storage::Db& db, const Size& size) const {
  Version version = text_version(db);
  ranking::Interactions interactions;
  db.history().for_each_user([&](std::string_view, std::span<const storage::Event> events) {
    std::vector<ranking::Behaviour> oldest_first;
    for (auto event = events.rbegin(); event != events.rend(); ++event) {
      oldest_first.push_back(to_behaviour(*event));
    }
    interactions.add_user(oldest_first);
  });

  ranking::EncoderShape shape;
  shape.width = size.width;
  shape.behaviours_max = size.behaviours_max;
  shape.items = version.card.items;
  shape.whitened_width = version.text_space.whitened_width();
  shape.actions = db.catalog().actions().size() + 1;
  auto encoder =
      std::make_shared<ranking::EncoderWeights>(ranking::EncoderWeights::random(shape, /*seed=*/7));
  encoder->learned.assign(shape.items, 0);
  for (const auto& behaviour : interactions.behaviours) encoder->learned[behaviour.row] = 1;
  ranking::RankerShape ranker_shape;
  ranker_shape.width = shape.width;
  ranker_shape.actions = shape.actions;
  ranker_shape.hidden = 8;
  ranker_shape.text_width = version.text_space.width();
  ranker_shape.centre_k = 10;
  auto ranker = std::make_shared<ranking::RankerWeights>(
      ranking::RankerWeights::initial(ranker_shape, /*seed=*/8));
  // So that every part of a score has a say; before training most weigh nothing.
  for (std::size_t f = 0; f < ranker->linear.size(); ++f) ranker->linear[f] = 0.3F + 0.1F * f;
  for (std::size_t h = 0; h < ranker->out.size(); ++h) ranker->out[h] = 0.2F;
  std::vector<float> action_weights = {1};
  for (const auto& action : db.catalog().actions()) {
    action_weights.push_back(static_cast<float>(action.weight));
  }
  version.model.emplace(
      encoder, ranker,
      ranking::Transitions::count(interactions, version.card.items, action_weights, {}),
      ranking::solve_ease(interactions, version.card.items, action_weights, {}, 1));

  const std::size_t width = version.model->width();
  std::vector<std::uint32_t> rows(version.card.items);
  for (std::size_t row = 0; row < rows.size(); ++row) rows[row] = static_cast<std::uint32_t>(row);
  std::vector<float> whitened(rows.size() * version.text_space.whitened_width());
  version.text_space.whiten(version.texts, whitened);
  version.vectors.resize(rows.size() * width);
  version.model->item_vectors(ranking::Context{}, rows, whitened, version.vectors);
  version.item_index = index::build_index(rows, version.vectors, width);
  return version;
}

std::string Shop::publish(Version version) const {
  return Versions(directory_).publish(std::move(version), 3);
}

std::vector<std::string> ids(const RankResponse& response) {
  std::vector<std::string> result;
  for (const auto& item : response.items) result.push_back(item.item_id);
  return result;
}

}  // namespace fovea::engine
