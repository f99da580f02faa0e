// A thousand swaps under load: no request fails, and each is answered by one version alone.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/models.h"
#include "ranking/encoder.h"
#include "ranking/ranker.h"
#include "sanitized.h"
#include "shop.h"

namespace fovea::engine {
namespace {

constexpr int kSwaps = unless_sanitized(1000, 250);
constexpr int kThreads = 3;

using Scores = std::vector<std::pair<std::string, double>>;  // as listed

Scores scores(const RankResponse& response) {
  Scores result;
  for (const RankedItem& item : response.items) result.emplace_back(item.item_id, item.score);
  return result;
}

std::string user(std::size_t i) { return "user-" + std::to_string(i % Shop::kUsers); }

/// The same model with another ranker: every score differs.
Version another(Version version) {
  auto ranker = std::make_shared<ranking::RankerWeights>(version.model->ranker());
  for (std::size_t f = 0; f < ranker->linear.size(); ++f) ranker->linear[f] *= 1.5F;
  // Made whole before it takes the old one's place, of which it is a copy.
  ranking::Model model(std::make_shared<ranking::EncoderWeights>(version.model->encoder()), ranker,
                       version.model->transitions(), version.model->relations().ease);
  version.model = std::move(model);
  return version;
}

TEST(Swaps, AThousandUnderLoadFailNoRequestAndMixNoVersions) {
  Shop shop;
  const auto engine = shop.open();
  shop.stock(*engine);
  const Versions versions(shop.directory());
  const std::array<std::string, 2> names = {
      shop.publish(shop.learned_version(engine->db())),
      shop.publish(another(shop.learned_version(engine->db())))};

  // What each version answers while nothing else happens.
  std::map<std::string, std::array<Scores, Shop::kUsers>> expected;
  for (const std::string& name : names) {
    if (versions.current() != name) versions.roll_back(name);
    engine->reload();
    ASSERT_EQ(engine->status().model_version, name);
    for (std::size_t i = 0; i < Shop::kUsers; ++i) {
      expected[name][i] = scores(engine->rank({.user_id = user(i)}));
      ASSERT_FALSE(expected[name][i].empty());
    }
  }
  for (std::size_t i = 0; i < Shop::kUsers; ++i) {
    ASSERT_NE(expected[names[0]][i], expected[names[1]][i]) << "they cannot be told apart";
  }

  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0, mixed = 0;
  std::array<std::atomic<int>, 2> answered = {};
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; !stop; ++i) {
        try {
          const RankResponse response = engine->rank({.user_id = user(i)});
          const auto version = expected.find(response.model_version);
          if (version == expected.end() || version->second[i % Shop::kUsers] != scores(response)) {
            ++mixed;
          }
          ++answered[response.model_version == names[1] ? 1 : 0];
        } catch (const std::exception& error) {
          ++failed;
          ADD_FAILURE() << error.what();
        }
      }
    });
  }
  for (int swap = 0; swap < kSwaps; ++swap) {
    const std::string& next = names[static_cast<std::size_t>(swap) % 2];
    versions.roll_back(next);
    EXPECT_TRUE(engine->reload()) << swap;
    const int before = answered[0] + answered[1];
    while (answered[0] + answered[1] == before) std::this_thread::yield();  // each is ranked by
  }
  stop = true;
  threads.clear();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(mixed, 0);
  EXPECT_GT(answered[0], 0);
  EXPECT_GT(answered[1], 0);
  RecordProperty("requests", answered[0] + answered[1]);
}

}  // namespace
}  // namespace fovea::engine
