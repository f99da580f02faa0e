// What the console shows is what the parts beneath it say: the engine's status and indexes, the
// lists that were answered, the directory's versions, the store's users and items, and the report
// that `fovea experiment report` would make.
#include "api/console_service.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "api/console_work.h"
#include "api/declarations.h"
#include "api/experiment_report.h"
#include "api/handler.h"
#include "api/json.h"
#include "api/version_json.h"
#include "engine/models.h"
#include "engine/report.h"
#include "engine/training_log.h"
#include "tests/eventually.h"
#include "tests/planted_store.h"
#include "tests/sanitized.h"
#include "tests/shop.h"

namespace fovea::api {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using engine::Shop;
using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Throws;
using testing::ThrowsMessage;

/// Refused as the caller's mistake in this field.
auto refuses(const char* field, const char* sentence) {
  return Throws<engine::InvalidRequest>(
      AllOf(Field(&engine::InvalidRequest::field, field),
            testing::Property(&engine::InvalidRequest::what, HasSubstr(sentence))));
}

class Console : public testing::Test {
 protected:
  Console() : engine_(open()), handler_(*engine_), measured_(handler_) { shop_.stock(*engine_); }

  std::unique_ptr<engine::Engine> open() {
    engine::EngineOptions options = shop_.options();
    options.db.trial_days_max = 0;  // what is planted was shown long ago
    options.now_ms = [this, test = std::this_thread::get_id()] {
      if (std::this_thread::get_id() != test && held_) {
        ++begun_;
        held_.wait(true);
      }
      return shop_.now_ms;
    };
    return engine::Engine::open(shop_.directory(), options);
  }
  /// While it lives the first report that is begun waits for the clock, and others for their turn.
  class ReportsHeld {
   public:
    explicit ReportsHeld(Console& test) : test_(test) { test_.held_ = true; }
    ~ReportsHeld() {
      test_.held_ = false;
      test_.held_.notify_all();
    }
    ReportsHeld(const ReportsHeld&) = delete;
    ReportsHeld& operator=(const ReportsHeld&) = delete;
    bool begun() const {
      return eventually([this] { return test_.begun_ == 1; });
    }

   private:
    Console& test_;
  };

  std::string publish() {
    std::string version = shop_.publish(shop_.learned_version(engine_->db()));
    engine_->reload();
    return version;
  }
  static std::vector<PortFigures> ports() { return {{"thrift", 3, 2, 1}, {"http", 6, 5, 4}}; }
  ConsoleService& console() {
    if (!console_) {
      console_ = std::make_unique<ConsoleService>(*engine_, measured_, shop_.directory(), ports,
                                                  ConsoleRights{.writes = true, .token = true});
    }
    return *console_;
  }
  RankResponse rank(const std::string& user_id) {
    RankRequest request;
    request.__set_user_id(user_id);
    RankResponse response;
    measured_.rank(response, request);
    return response;
  }
  fs::path file(const std::string& version, const char* name) const {
    return shop_.directory() / "versions" / version / name;
  }

  /// Rolls back as who asks and waits, and tells how it ended.
  json::value roll_back(const std::string& to) {
    const json::object begun = console().roll_back(to);
    EXPECT_EQ(begun.at("rollback").at("to"), json::value(to));
    EXPECT_TRUE(begun.at("rollback").at("running").as_bool());
    EXPECT_TRUE(eventually([&] { return !rolls_back(); }));
    return console().versions().at("rollback");
  }
  bool rolls_back() { return console().versions().at("rollback").at("running").as_bool(); }

  /// The first report of which none newer is on its way.
  json::object finished_report(const char* by = "day") {
    json::object answer;
    EXPECT_TRUE(eventually([&] {
      answer = console().report("e", by);
      return !answer.at("running").as_bool();
    }));
    return answer;
  }
  json::value report_of(const engine::Experiment& experiment, std::int64_t now_ms,
                        std::int64_t period_ms = engine::kDayMs) {
    engine::ReportOptions options;
    options.now_ms = now_ms;
    options.period_ms = period_ms;
    return report_json(engine::make_report(engine_->db(), experiment, options));
  }
  /// "e" with exposures of two days and what came of them.
  void plant_experiment(int users = 40) {
    engine::declare_planted_actions(engine_->db());
    shop_.now_ms = engine::kDay0 + 3 * engine::kDay;
    engine_->set_experiments({{}, {engine::planted_experiment()}});
    for (int i = 0; i < users; ++i) {
      const std::string user = "shown-" + std::to_string(i);
      const std::int64_t time_ms = engine::kDay0 + i % 2 * engine::kDay + i;
      engine::plant(engine_->db(), engine::PlantedExposure{user, "r" + user, time_ms,
                                                           i % 4 < 2 ? "control" : "treatment"});
      if (i % 3 != 0 || i >= 40) continue;  // each waits for the disk
      engine::plant(engine_->db(), engine::PlantedEvent{user, "buy", time_ms + 1});
    }
  }

  Shop shop_;
  std::atomic<bool> held_ = false;
  std::atomic<int> begun_ = 0;
  engine::Versions versions_{shop_.directory()};
  std::unique_ptr<engine::Engine> engine_;
  Handler handler_;
  MeasuredService measured_;
  std::unique_ptr<ConsoleService> console_;
};

/// Nothing is published while it lives: whoever would waits.
class PublishLock {
 public:
  explicit PublishLock(const fs::path& data)
      : file_(
            ::open((data / "versions/publish.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    EXPECT_EQ(::flock(file_, LOCK_EX), 0);
  }
  ~PublishLock() { ::close(file_); }
  PublishLock(const PublishLock&) = delete;
  PublishLock& operator=(const PublishLock&) = delete;

 private:
  int file_;
};

TEST_F(Console, TheEngineIsWhatItsStatusSays) {
  publish();
  const json::object told = console().engine();
  const engine::Status status = engine_->status();
  EXPECT_EQ(told.at("version"), json::value(status.version));
  EXPECT_EQ(told.at("faiss"), json::value(status.faiss));
  EXPECT_EQ(told.at("device"), "cpu");
  EXPECT_EQ(told.at("model_version"), json::value(status.model_version));
  EXPECT_EQ(told.at("items"), status.items);
  EXPECT_EQ(told.at("users"), status.users);
  EXPECT_EQ(told.at("now_ms"), shop_.now_ms);
  EXPECT_LE(told.at("uptime_ms").as_int64(), status.uptime_ms);
  EXPECT_EQ(told.at("console"), json::parse(R"({"writes": true, "token": true})"));
  EXPECT_EQ(told.at("actions"), json::parse(R"([{"action": "view", "weight": 1.0},
                                                {"action": "skip", "weight": -1.0}])"));
  EXPECT_EQ(told.at("ports"),
            json::parse(R"([{"port": "thrift", "connections": 3, "in_flight": 2, "refused": 1},
                            {"port": "http", "connections": 6, "in_flight": 5, "refused": 4}])"));
  EXPECT_TRUE(told.at("batches").is_null());
  EXPECT_TRUE(told.at("memory").at("gpu_bytes").is_null());
  EXPECT_TRUE(told.at("memory").at("gpu_bytes_max").is_null());
  EXPECT_GT(told.at("memory").at("resident_bytes").as_int64(), 1 << 20);
}

TEST_F(Console, TheIndexesFollowTheCatalogue) {
  EXPECT_THAT(console().engine().at("indexes").as_array(), IsEmpty());
  publish();
  const auto expect = [&](int main, int fresh, int removed) {
    const json::array indexes = console().engine().at("indexes").as_array();
    ASSERT_EQ(indexes.size(), 2U);
    for (std::size_t i = 0; i < indexes.size(); ++i) {
      EXPECT_EQ(indexes[i].at("name"), i == 0 ? "items" : "texts");
      EXPECT_EQ(indexes[i].at("kind"), "exact");
      EXPECT_EQ(indexes[i].at("main"), main);
      EXPECT_EQ(indexes[i].at("fresh"), fresh);
      EXPECT_EQ(indexes[i].at("removed"), removed);
      EXPECT_FALSE(indexes[i].at("rebuilding").as_bool());
    }
  };
  expect(80, 0, 0);
  std::vector<engine::Item> items = {Shop::item(0, 0), Shop::item(1, 1)};
  items[1].item_id = "new";
  engine_->put_items(items);  // one that main has, one that it has not
  engine_->remove_items(std::vector<std::string>{Shop::id(2, 2)});
  expect(80, 2, 2);
  engine_->rebuild();
  expect(80, 2, 2);  // too few to be worth it
}

TEST_F(Console, RequestsAreCountedAsTheyEnded) {
  publish();
  rank("user-1");
  rank("user-2");
  RankRequest nothing;
  RankResponse response;
  EXPECT_THROW(measured_.rank(response, nothing), InvalidRequest);
  measured_.rankMany(*std::make_unique<std::vector<RankResponse>>(), {});
  const json::object told = console().engine();
  const json::array& requests = told.at("requests").as_array();
  ASSERT_EQ(requests.size(), 9U);
  EXPECT_EQ(requests[0], json::parse(R"({"method": "rank", "ok": 2, "invalid": 1, "overloaded": 0,
                                         "unavailable": 0, "failed": 0})"));
  EXPECT_EQ(requests[1].at("method"), "rankMany");
  EXPECT_EQ(requests[1].at("ok"), 1);
  EXPECT_EQ(requests[8].at("method"), "status");
  EXPECT_EQ(requests[8].at("ok"), 0) << "the console's own look is nobody's request";
  EXPECT_EQ(told.at("lists"), 2);
  EXPECT_EQ(told.at("degraded_lists"), 0);
}

/// The value at the nearest rank, by its definition.
std::int64_t percentile(std::vector<std::int64_t> values, double percent) {
  std::ranges::sort(values);
  const auto rank =
      static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
  return values.at(rank - 1);
}

TEST_F(Console, RecentTimesAreThoseOfTheNewestLists) {
  EXPECT_EQ(console().engine().at("recent").at("lists"), 0);
  publish();
  std::vector<RankResponse> answered;
  const auto expect_told = [&] {
    const json::value recent = console().engine().at("recent");
    const std::size_t count = std::min(answered.size(), kRecentLists);
    EXPECT_EQ(recent.at("lists"), count);
    std::map<std::string, std::vector<std::int64_t>> times;
    for (const auto& response : std::span(answered).last(count)) {
      std::int64_t total = 0;
      for (const auto& [stage, us] : response.stage_us) {
        times[stage].push_back(us);
        total += us;
      }
      times["total"].push_back(total);
    }
    EXPECT_EQ(times.size(), 5U);
    EXPECT_EQ(recent.at("stage_us").as_object().size(), 4U);
    for (const auto& [name, values] : times) {
      const json::value& told =
          name == "total" ? recent.at("total_us") : recent.at("stage_us").at(name);
      EXPECT_EQ(told.at("p50"), percentile(values, 50)) << name;
      EXPECT_EQ(told.at("p99"), percentile(values, 99)) << name;
    }
  };
  answered.push_back(rank("user-0"));
  expect_told();
  for (int i = 0; i < 48; ++i) answered.push_back(rank("user-" + std::to_string(i % 24)));
  expect_told();
  RankRequest request;
  request.__set_candidates({Shop::id(0, 0)});
  for (int calls = 0; calls < 3; ++calls) {
    std::vector<RankResponse> responses;
    measured_.rankMany(responses, std::vector<RankRequest>(400, request));
    answered.insert(answered.end(), responses.begin(), responses.end());
    expect_told();
  }
}

TEST_F(Console, VersionsAreThoseOfTheDirectory) {
  EXPECT_EQ(console().versions(), json::parse(R"({"versions": [], "rollback": null})").as_object());
  const std::string a = publish();
  const std::string b = publish();
  std::ofstream(file(a, "card.json")) << "nonsense";
  const json::object told = console().versions();
  EXPECT_EQ(told.at("versions"), to_json(versions_.list()));
  const json::array& versions = told.at("versions").as_array();
  ASSERT_EQ(versions.size(), 2U);
  EXPECT_TRUE(versions[0].as_object().contains("damaged"));
  EXPECT_EQ(versions[1].at("version"), json::value(b));
  EXPECT_TRUE(versions[1].at("current").as_bool());
}

TEST_F(Console, TrainingIsTheLogOfTheVersion) {
  const std::string texts = shop_.publish(shop_.text_version(engine_->db()));
  engine::Version version = shop_.learned_version(engine_->db());
  version.log = {{.stage = "encoder", .epoch = 1, .loss = 2.5},
                 {.stage = "encoder", .epoch = 2, .loss = 1.25, .validation_ndcg_10 = 0.5}};
  const std::string learned = shop_.publish(std::move(version));
  EXPECT_EQ(console().training(texts), json::parse(R"({"epochs": []})").as_object());
  EXPECT_EQ(console().training(learned), json::parse(R"({"epochs": [
      {"stage": "encoder", "epoch": 1, "loss": 2.5, "seconds": 0.0, "best_epoch": 0},
      {"stage": "encoder", "epoch": 2, "loss": 1.25, "validation_ndcg@10": 0.5, "seconds": 0.0,
       "best_epoch": 0}]})")
                                             .as_object());
  for (const char* unknown : {"20200101T000000.000Z", "", "../..", "CURRENT"}) {
    EXPECT_THAT([&] { console().training(unknown); }, refuses("version", "holds no version"));
  }
  std::ofstream(file(learned, "training.jsonl")) << "{";
  EXPECT_THAT([&] { console().training(learned); }, refuses("version", "training.jsonl"));
}

TEST_F(Console, ARollBackServesWhenItHasEnded) {
  const std::string a = publish();
  const std::string b = publish();
  EXPECT_EQ(roll_back(a), (json::object{{"to", a}, {"running", false}, {"error", nullptr}}));
  EXPECT_EQ(console().engine().at("model_version"), json::value(a)) << "without a reload";
  EXPECT_EQ(rank("user-0").model_version, a);
  EXPECT_EQ(versions_.current(), a);
  EXPECT_TRUE(console().versions().at("versions").at(0).at("current").as_bool());
  EXPECT_TRUE(roll_back(b).at("error").is_null()) << "and forward again";
  EXPECT_EQ(rank("user-0").model_version, b);
}

TEST_F(Console, ARollBackThatFailsSaysWhyAndChangesNothing) {
  const std::string a = publish();
  const std::string b = publish();
  std::ofstream(file(a, "model.safetensors"), std::ios::app) << "x";
  EXPECT_THAT(std::string(roll_back(a).at("error").as_string()), HasSubstr("model.safetensors"));
  EXPECT_THAT(std::string(roll_back(b).at("error").as_string()),
              HasSubstr("is the one that serves"));
  EXPECT_EQ(versions_.current(), b);
  EXPECT_EQ(rank("user-0").model_version, b);
  for (const char* unknown : {"20200101T000000.000Z", "", "../..", "CURRENT"}) {
    EXPECT_THAT([&] { console().roll_back(unknown); }, refuses("to", "there is no version"));
  }
  EXPECT_EQ(console().versions().at("rollback").at("to"), json::value(b)) << "that was never begun";
}

TEST_F(Console, OneRollBackAtATime) {
  const std::string a = publish();
  const std::string b = publish();
  {
    const PublishLock held(shop_.directory());
    console().roll_back(a);
    EXPECT_THAT([&] { console().roll_back(b); },
                ThrowsMessage<engine::Unavailable>(HasSubstr("to version " + a + " is under way")));
    EXPECT_TRUE(rolls_back());
    EXPECT_EQ(rank("user-0").model_version, b) << "requests go on";
  }
  EXPECT_TRUE(eventually([&] { return !rolls_back(); }));
  EXPECT_EQ(rank("user-0").model_version, a);
}

TEST_F(Console, ARollBackWaitsForNoReport) {
  const std::string a = publish();
  publish();
  plant_experiment(4);
  {
    const ReportsHeld held(*this);
    console().report("e", "day");
    ASSERT_TRUE(held.begun());
    console().report("e", "hour");
    EXPECT_TRUE(roll_back(a).at("error").is_null());
    EXPECT_EQ(rank("user-0").model_version, a);
    EXPECT_TRUE(console().report("e", "day").at("running").as_bool());
  }
  EXPECT_TRUE(finished_report("hour").at("error").is_null());
}

TEST_F(Console, UsersAreFoundByWhatTheirIdsBeginWith) {
  EXPECT_EQ(console().users("user-1", 3), json::parse(R"({"users": [
      {"user_id": "user-1", "behaviours": 10}, {"user_id": "user-10", "behaviours": 10},
      {"user_id": "user-11", "behaviours": 10}]})")
                                              .as_object());
  engine_->record(std::vector{shop_.event("user-10", Shop::id(3, 3))});
  EXPECT_EQ(console().users("user-10", 100).at("users").at(0).at("behaviours"), 11);
  EXPECT_EQ(console().users("", 100).at("users").as_array().size(), Shop::kUsers);
  EXPECT_THAT(console().users("nobody", 1).at("users").as_array(), IsEmpty());
}

TEST_F(Console, ItemsAreFoundByWhatTheirIdsBeginWith) {
  const std::vector<std::string> ids = {Shop::id(1, 1), Shop::id(1, 10)};
  json::array expected;
  for (const engine::Item& item : engine_->get_items(ids)) expected.push_back(to_json(item));
  EXPECT_EQ(console().items(ids[0], 2).at("items"), expected);
  engine_->remove_items(std::vector{ids[0]});
  expected.erase(expected.begin());
  EXPECT_EQ(console().items(ids[0], 1).at("items"), expected) << "present ones only";
  EXPECT_EQ(console().items("", 100).at("items").as_array().size(), 79U);
  EXPECT_THAT(console().items("nothing", 1).at("items").as_array(), IsEmpty());

  engine::Item item = Shop::item(0, 0);
  item.item_id = "with-embedding";
  item.embedding = std::vector<float>(8, 1.0F);
  engine_->put_items(std::vector{item});
  item.embedding.reset();
  EXPECT_EQ(console().items("with-", 1).at("items").at(0), to_json(item));
}

TEST_F(Console, ItemsAreGivenAsTheyAreStoredButForTheirEmbeddings) {
  engine::Item item = Shop::item(0, 0);
  item.item_id = "with-embedding";
  item.embedding = std::vector<float>(8, 1.0F);
  engine_->put_items(std::vector{item});
  const std::vector<std::string> ids = {Shop::id(2, 3), "unknown", item.item_id};
  json::array expected;
  for (engine::Item& stored : engine_->get_items(ids)) {
    stored.embedding.reset();
    expected.push_back(to_json(stored));
  }
  EXPECT_EQ(expected.size(), 2U);
  EXPECT_EQ(console().items(ids), (json::object{{"items", expected}}));
  EXPECT_THAT(console().items(std::vector<std::string>()).at("items").as_array(), IsEmpty());
  EXPECT_THAT([&] { console().items(std::vector<std::string>{""}); },
              refuses("item_ids[0]", "empty"));
}

TEST_F(Console, ALookIsBounded) {
  for (const std::int32_t limit : {0, -1, 101}) {
    EXPECT_THAT([&] { console().users("", limit); }, refuses("limit", "1 to 100"));
    EXPECT_THAT([&] { console().items("", limit); }, refuses("limit", "1 to 100"));
  }
  const std::string prefix(513, 'a');
  EXPECT_THAT([&] { console().users(prefix, 1); }, refuses("prefix", "no id has more than 512"));
  EXPECT_THAT([&] { console().items(prefix, 1); }, refuses("prefix", "no id has more than 512"));
  EXPECT_THAT(console().users(prefix.substr(1), 1).at("users").as_array(), IsEmpty());
}

TEST_F(Console, ExperimentsAreThoseThatServeAndThoseThatTheStoreRemembers) {
  engine::Experiment live = engine::planted_experiment();
  live.version = 2;
  live.unit = engine::Unit::kSession;
  live.to = 0.5;
  live.start_ms = 5;
  live.randomised = engine::Randomised{.share = 0.25, .first = 3};
  live.variants[1].set.diversity = 0.5;
  live.variants[1].set.boosts = {{"kind = 'soup'", 2}};
  live.variants[1].set.index = engine::IndexKind::kExact;
  engine::Experiment over = engine::planted_experiment();
  over.name = over.layer = "over";
  over.success.reset();
  engine::Experiment earlier = live;
  earlier.version = 1;
  keep_declarations(engine_->db(), {{}, {earlier, over}});
  EXPECT_EQ(console().experiments().at("experiments").as_array().size(), 2U);
  engine_->set_experiments({{}, {live}});
  EXPECT_EQ(console().experiments(), json::parse(R"({"experiments": [
    {"experiment": "e", "version": 2, "layer": "e", "from": 0.0, "to": 0.5, "unit": "session",
     "hash": "planout", "salt": "e", "success": "buy", "guardrails": ["refund"], "start_ms": 5,
     "end_ms": null, "interleave": false, "live": true, "randomised": {"share": 0.25, "first": 3},
     "variants": [{"variant": "control", "weight": 0.5, "set": {}},
                  {"variant": "treatment", "weight": 0.5,
                   "set": {"diversity": 0.5, "index": "exact",
                           "boosts": [{"filter": "kind = 'soup'", "add": 2.0}]}}]},
    {"experiment": "over", "version": 1, "layer": "over", "from": 0.0, "to": 1.0,
     "unit": "user_id", "hash": "planout", "salt": "e", "success": null, "guardrails": ["refund"],
     "start_ms": null, "end_ms": null, "interleave": false, "live": false, "randomised": null,
     "variants": [{"variant": "control", "weight": 0.5, "set": {}},
                  {"variant": "treatment", "weight": 0.5, "set": {}}]}]})")
                                         .as_object());
}

TEST_F(Console, ADeclarationThatThisProgramCannotReadIsNamed) {
  engine_->db().declarations().put("odd", "[[experiment]]\nname = 5\n");
  EXPECT_THAT([&] { console().experiments(); },
              ThrowsMessage<engine::Unavailable>(HasSubstr("'odd'")));
}

TEST_F(Console, AReportIsTheOneOfTheCommand) {
  plant_experiment();
  const json::object first = console().report("e", "day");
  EXPECT_TRUE(first.at("running").as_bool());
  EXPECT_TRUE(first.at("report").is_null());
  EXPECT_TRUE(first.at("as_of_ms").is_null());
  const json::object made = finished_report();
  EXPECT_TRUE(made.at("error").is_null());
  EXPECT_EQ(made.at("as_of_ms"), shop_.now_ms);
  EXPECT_EQ(made.at("report"), report_of(engine::planted_experiment(), shop_.now_ms));
  EXPECT_EQ(made.at("report").at("periods").as_array().size(), 2U);
  EXPECT_EQ(finished_report("hour").at("report"),
            report_of(engine::planted_experiment(), shop_.now_ms, engine::kHour));
}

TEST_F(Console, AReportIsMadeAnewWhenItIsOlderThanHalfAMinute) {
  plant_experiment();
  const json::object old = finished_report();
  engine::plant(engine_->db(), engine::PlantedEvent{"shown-1", "buy", shop_.now_ms});
  shop_.now_ms += kReportAgeMaxMs;
  EXPECT_EQ(console().report("e", "day"), old) << "of that age it is answered as it is";
  ++shop_.now_ms;
  json::object meanwhile = console().report("e", "day");
  EXPECT_TRUE(meanwhile.at("running").as_bool());
  EXPECT_EQ(meanwhile.at("report"), old.at("report"));
  EXPECT_EQ(meanwhile.at("as_of_ms"), old.at("as_of_ms"));
  const json::object made = finished_report();
  EXPECT_EQ(made.at("as_of_ms"), shop_.now_ms);
  EXPECT_NE(made.at("report"), old.at("report"));
  EXPECT_EQ(made.at("report"), report_of(engine::planted_experiment(), shop_.now_ms));
}

TEST_F(Console, AReportThatCannotBeMadeSaysWhy) {
  engine::Experiment experiment = engine::planted_experiment();
  experiment.success.reset();
  keep_declarations(engine_->db(), {{}, {experiment}});
  const json::object told = finished_report();
  EXPECT_TRUE(told.at("report").is_null());
  EXPECT_THAT(std::string(told.at("error").as_string()), HasSubstr("declares no success"));
  EXPECT_EQ(told.at("as_of_ms"), shop_.now_ms);

  EXPECT_THAT([&] { console().report("e", "week"); }, refuses("by", "day, hour or minute"));
  EXPECT_THAT([&] { console().report("other", "day"); },
              refuses("experiment", "'other' is not declared"));
  EXPECT_THAT([&] { console().report("", "day"); }, refuses("experiment", "empty"));
  EXPECT_THAT([&] { console().report(std::string(100'000, 'e'), "day"); },
              refuses("experiment", "512"));
}

TEST_F(Console, ReportsThatWaitAreBoundedAndSoAreThoseThatAreKept) {
  plant_experiment(4);
  engine::Experiments experiments;
  for (std::size_t i = 0; i < 2 * kReportsKept; ++i) {
    auto& experiment = experiments.list.emplace_back(engine::planted_experiment());
    experiment.name = experiment.layer = "e" + std::to_string(i);
  }
  engine_->set_experiments(experiments);
  const auto name = [&](std::size_t i) { return experiments.list[i].name; };
  const auto runs = [&](std::size_t i) {
    return console().report(name(i), "day").at("running").as_bool();
  };
  {
    const ReportsHeld held(*this);
    EXPECT_TRUE(runs(0));
    ASSERT_TRUE(held.begun());
    for (std::size_t i = 1; i <= kReportsWaitingMax; ++i) {
      EXPECT_TRUE(runs(i));
      EXPECT_TRUE(runs(i)) << "and is one";
    }
    EXPECT_THAT([&] { runs(kReportsWaitingMax + 1); },
                ThrowsMessage<engine::Unavailable>(HasSubstr("reports wait")));
  }
  for (std::size_t i = 0; i <= kReportsWaitingMax; ++i) {
    EXPECT_TRUE(eventually([&] { return !runs(i); }));
  }
  for (std::size_t i = 0; i < experiments.list.size(); ++i) {
    ++shop_.now_ms;
    EXPECT_TRUE(eventually([&] { return !runs(i); }));
  }
  EXPECT_FALSE(runs(kReportsKept)) << "is kept";
  EXPECT_TRUE(console().report(name(0), "day").at("report").is_null()) << "had to go";
}

TEST_F(Console, EndsWhileReportsAndARollBackAreUnderWay) {
  const std::string a = publish();
  const std::string b = publish();
  plant_experiment(unless_sanitized(4000, 400));
  for (int i = 0; i < 4; ++i) {
    for (const char* by : {"day", "hour", "minute"}) console().report("e", by);
    if (i % 2 == 1) console().roll_back(engine_->status().model_version == a ? b : a);
    console_.reset();
  }
  EXPECT_EQ(rank("user-0").model_version, versions_.current());
}

TEST_F(Console, IsAskedByThreadsWhileListsAreRanked) {
  const std::string a = publish();
  const std::string b = publish();
  plant_experiment();
  console();
  std::atomic<int> begun = 0;
  std::atomic<int> refused = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < unless_sanitized(200, 20); ++i) {
        rank("user-" + std::to_string(i % 24));
        const json::object told = console_->engine();
        EXPECT_LE(told.at("recent").at("lists").to_number<std::uint64_t>(),
                  told.at("lists").to_number<std::uint64_t>());
        EXPECT_EQ(console_->versions().at("versions").as_array().size(), 2U);
        EXPECT_EQ(console_->users("user-2", 100).at("users").as_array().size(), 5U);
        EXPECT_EQ(console_->items(Shop::id(0, 1), 100).at("items").as_array().size(), 11U);
        EXPECT_EQ(console_->experiments().at("experiments").as_array().size(), 1U);
        EXPECT_TRUE(console_->report("e", i % 2 == 0 ? "day" : "hour").at("error").is_null());
        if (i % 10 != t) continue;
        try {
          console_->roll_back(i % 20 == t ? a : b);
          ++begun;
        } catch (const engine::Unavailable&) {
          ++refused;
        }
      }
    });
  }
  threads.clear();
  EXPECT_GT(begun, 0);
  EXPECT_EQ(begun + refused, 4 * unless_sanitized(20, 2));
}

}  // namespace
}  // namespace fovea::api
