// Claim: `fovea rank`, beside a server of the same directory, gives the lists and scores that the
// server gives for the same requests at the same time. The program itself runs, in its own process,
// and the server is asked over its port.
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "api/client.h"
#include "api/server.h"
#include "api/wire_json.h"
#include "engine/engine.h"
#include "engine/learning.h"
#include "engine/synthetic.h"
#include "sanitized.h"

namespace fovea::api {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr engine::SyntheticOptions kShop{.users = 200, .items = 300};
constexpr std::int64_t kNowMs = 1'761'000'000'000;
constexpr double kTolerance = 1e-4;
constexpr std::size_t kRequests = unless_sanitized<std::size_t>(10'000, 300);

/// Every way to ask, of users with and without a history.
class Requests {
 public:
  Requests() {
    for (const auto& item : engine::synthetic_items(kShop)) items_.push_back(item.item_id);
    engine::synthetic_events(kShop, [&](std::span<const engine::Event> events) {
      if (!events.empty()) users_.push_back(events.front().user_id);
    });
    users_.emplace_back("nobody-yet");
  }

  json::object next() {
    json::object request;
    request["limit"] = static_cast<std::int64_t>(1 + below(40));
    const std::size_t kind = below(8);
    if (kind != 0) request["user_id"] = users_[below(users_.size())];
    if (kind == 0 || kind == 1) request["seed_items"] = some(3);
    if (kind == 2) request["candidates"] = some(60);
    if (kind == 3) request["query"] = "dark mystery of the sea";
    if (kind == 4) {
      request["session"] = json::array{
          {{"user_id", "s"}, {"item_id", items_[below(items_.size())]}, {"action", "view"}}};
    }
    if (kind == 5) request["diversity"] = 0.3;
    if (kind == 6) request["exclude_items"] = some(20);
    if (below(10) == 0) request["explain"] = true;
    if (below(3) == 0) request["include_seen"] = true;
    return request;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }
  json::array some(std::size_t n) {
    json::array items;
    for (std::size_t i = 0; i < n; ++i) items.emplace_back(items_[below(items_.size())]);
    items.emplace_back("no-such-item");
    return items;
  }

  std::mt19937_64 random_{1};
  std::vector<std::string> items_;
  std::vector<std::string> users_;
};

std::unique_ptr<engine::Engine> open(const fs::path& directory) {
  engine::EngineOptions options;
  options.reload_interval = std::chrono::milliseconds(0);
  options.now_ms = [] { return kNowMs; };
  return engine::Engine::open(directory, options);
}

void stock_and_learn(const fs::path& directory) {
  {
    const auto engine = open(directory);
    engine->put_items(engine::synthetic_items(kShop));
    engine->declare_action("view", 1);
    engine->declare_action("purchase", 2);
    engine::synthetic_events(
        kShop, [&](std::span<const engine::Event> events) { engine->record(events); });
  }
  engine::LearnOptions options;
  options.train.width = 32;
  options.train.threads = 1;  // tests run side by side
  options.train.epochs_max = 3;
  options.force = true;
  engine::learn(directory, options, {});
}

/// Behaviours and items since the version was trained, which the server knows of.
void go_on(engine::Engine& engine) {
  const auto items = engine::synthetic_items(kShop);
  engine::Item late = items.front();
  late.item_id = "late-item";
  engine.put_items({&late, 1});
  engine.remove_items(std::vector<std::string>{items[5].item_id});
  for (std::size_t i = 0; i + 7 < 60; ++i) {
    engine::Event event{"late-" + std::to_string(i % 9), items[i % 7 + 10].item_id, "view",
                        kNowMs - 1000 + static_cast<std::int64_t>(i)};
    engine.record({&event, 1});
  }
  engine.recount();
}

TEST(Batch, TenThousandAnswersAreTheServersOwn) {
  const fs::path directory =
      fs::path(testing::TempDir()) / ("fovea_batch" + std::to_string(::getpid()));
  fs::remove_all(directory);
  stock_and_learn(directory / "shop");
  const auto engine = open(directory / "shop");
  go_on(*engine);
  Server server(*engine, ServerOptions{.port = 0, .threads = 2});
  server.start();

  Requests requests;
  std::vector<json::object> asked;
  {
    std::ofstream out(directory / "requests.jsonl");
    for (std::size_t i = 0; i < kRequests; ++i) out << asked.emplace_back(requests.next()) << '\n';
  }
  const std::string command = "\"" FOVEA_PROGRAM "\" rank --data " + (directory / "shop").string() +
                              " --input " + (directory / "requests.jsonl").string() + " --output " +
                              (directory / "ranked.jsonl").string() + " --now-ms " +
                              std::to_string(kNowMs) + " 2>" + (directory / "said").string();
  ASSERT_EQ(std::system(command.c_str()), 0) << std::ifstream(directory / "said").rdbuf();

  std::ifstream ranked(directory / "ranked.jsonl");
  Client client({"127.0.0.1", server.port()});
  std::size_t items = 0;
  double furthest = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    std::string line;
    ASSERT_TRUE(std::getline(ranked, line)) << "after " << i << " lines";
    const json::value value = json::parse(line);
    const json::object& answer = value.as_object();
    ASSERT_EQ(answer.if_contains("error"), nullptr) << line;
    RankResponse response;
    client->rank(response, rank_request_from_json(asked[i]));
    const json::object expected = to_json(response);
    for (const char* same :
         {"model_version", "degraded", "unknown_candidates", "next_page_token"}) {
      const json::value* given = answer.if_contains(same);
      const json::value* wanted = expected.if_contains(same);
      ASSERT_EQ(given == nullptr, wanted == nullptr) << same << " of " << asked[i];
      if (given != nullptr) {
        EXPECT_EQ(*given, *wanted) << same << " of " << asked[i];
      }
    }
    const json::array& list = answer.at("items").as_array();
    ASSERT_EQ(list.size(), response.items.size()) << asked[i];
    for (std::size_t place = 0; place < list.size(); ++place) {
      const json::object& item = list[place].as_object();
      ASSERT_EQ(item.at("item_id").as_string(), response.items[place].item_id)
          << "place " << place << " of " << asked[i];
      ASSERT_EQ(item.contains("explanation"), response.items[place].__isset.explanation);
      const double score = item.at("score").to_number<double>();
      furthest = std::max(furthest, std::abs(score - response.items[place].score));
    }
    items += list.size();
  }
  std::string line;
  EXPECT_FALSE(std::getline(ranked, line)) << line;
  EXPECT_LE(furthest, kTolerance);
  EXPECT_GT(items, 10 * kRequests);
  std::cout << asked.size() << " lists, " << items << " scores, at most " << furthest << " apart\n";
  server.stop();
  fs::remove_all(directory);
}

}  // namespace
}  // namespace fovea::api
