// A version that gives other scores than the program which wrote it is refused, though every
// checksum is right.
#include "engine/goldens.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <limits>

#include "engine/engine.h"
#include "engine/files.h"
#include "engine/models.h"
#include "ranking/encoder.h"
#include "ranking/ranker.h"
#include "shop.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using testing::AllOf;
using testing::HasSubstr;

class Goldens : public testing::Test {
 protected:
  Goldens() : engine_(shop_.open()) {
    shop_.stock(*engine_);
    good_ = shop_.publish(shop_.learned_version(engine_->db()));
    EXPECT_TRUE(engine_->reload());
    next_ = shop_.publish(shop_.learned_version(engine_->db()));
  }
  fs::path path(const char* file) const { return shop_.directory() / "versions" / next_ / file; }
  static std::string read(const fs::path& path) { return read_small(path); }

  /// Writes golden outputs that the card and CURRENT vouch for, as a program that computes
  /// otherwise would have.
  void vouch_for(const std::string& goldens) const {
    write_synced(path("goldens.json"), goldens);
    json::value card = json::parse(read(path("card.json")));
    auto& about = card.at("files").at("goldens.json").as_object();
    about["bytes"] = goldens.size();
    about["sha256"] = sha256(goldens);
    const std::string text = json::serialize(card);
    write_synced(path("card.json"), text);
    const std::string line = next_ + " " + sha256(text) + "\n";
    write_synced(path("PUBLISHED"), line);
    write_synced(shop_.directory() / "versions" / "CURRENT", line);
  }
  std::string complaint() const {
    try {
      Versions(shop_.directory()).load(next_);
      return "";
    } catch (const VersionError& error) {
      return error.what();
    }
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
  std::string good_, next_;
};

TEST_F(Goldens, AVersionHoldsRequestsOfSeveralLengthsAndFewBytes) {
  const json::value goldens = json::parse(read(path("goldens.json")));
  const json::array& requests = goldens.at("requests").as_array();
  EXPECT_EQ(requests.size(), 4U);
  EXPECT_EQ(requests[0].at("behaviours").as_array().size(), 1U);
  EXPECT_GT(requests[3].at("behaviours").as_array().size(), 12U) << "more than the model reads";
  EXPECT_LT(fs::file_size(path("goldens.json")), 20'000U);
  vouch_for(read(path("goldens.json")));
  EXPECT_EQ(complaint(), "");
}

TEST_F(Goldens, AnotherScoreIsRefusedByNameAndTheOldVersionServesOn) {
  json::value goldens = json::parse(read(path("goldens.json")));
  json::value& score = goldens.at("requests").at(1).at("scores").at(3);
  score = score.to_number<double>() + 2 * kGoldenTolerance;
  vouch_for(json::serialize(goldens));
  EXPECT_THAT(complaint(), AllOf(HasSubstr("goldens.json"), HasSubstr("request 2 of 4"),
                                 HasSubstr("candidate 4 ")));
  EXPECT_FALSE(engine_->reload());
  EXPECT_EQ(engine_->status().model_version, good_);
  EXPECT_EQ(engine_->rank({.user_id = "user-1"}).model_version, good_);
  engine_.reset();
  EXPECT_THROW(shop_.open(), VersionError) << "and a server that starts says so";
}

TEST_F(Goldens, ADifferenceWithinTheToleranceIsNot) {
  json::value goldens = json::parse(read(path("goldens.json")));
  for (json::value& request : goldens.at("requests").as_array()) {
    for (json::value& score : request.at("scores").as_array()) {
      score = score.to_number<double>() + kGoldenTolerance / 2;
    }
  }
  vouch_for(json::serialize(goldens));
  EXPECT_EQ(complaint(), "");
}

TEST_F(Goldens, WhatNoProgramWritesIsRefused) {
  const std::string behaviour = R"({"row":0,"action":0,"value":0,"time_ms":0})";
  for (const std::string& text :
       {std::string("{}"), std::string("nonsense"), std::string(R"({"requests":[{}]})"),
        std::string(R"({"requests":[{"behaviours":[],"candidates":[1],"scores":[1]}]})"),
        R"({"requests":[{"behaviours":[)" + behaviour + R"(],"candidates":[80],"scores":[1]}]})",
        R"({"requests":[{"behaviours":[)" + behaviour + R"(],"candidates":[1],"scores":[]}]})",
        R"({"requests":[{"behaviours":[)" + behaviour +
            R"(],"candidates":[1],"scores":[1e300]}]})"}) {
    vouch_for(text);
    EXPECT_NE(complaint(), "") << text;
  }
}

TEST_F(Goldens, AModelWhoseScoresAreNoNumbersIsNotWritten) {
  Version broken = shop_.learned_version(engine_->db());
  auto ranker = std::make_shared<ranking::RankerWeights>(broken.model->ranker());
  ranker->linear[0] = std::numeric_limits<float>::quiet_NaN();
  ranking::Model model(std::make_shared<ranking::EncoderWeights>(broken.model->encoder()), ranker,
                       broken.model->transitions(), broken.model->relations().ease);
  broken.model = std::move(model);
  EXPECT_THAT([&] { shop_.publish(std::move(broken)); },
              testing::ThrowsMessage<std::runtime_error>(HasSubstr("are no numbers")));
  EXPECT_EQ(Versions(shop_.directory()).current(), next_);
}

TEST_F(Goldens, AVersionFromBeforeThereWereAnyLoads) {
  json::value card = json::parse(read(path("card.json")));
  card.at("files").as_object().erase("goldens.json");
  const std::string text = json::serialize(card);
  write_synced(path("card.json"), text);
  fs::remove(path("goldens.json"));
  write_synced(shop_.directory() / "versions" / "CURRENT", next_ + " " + sha256(text) + "\n");
  EXPECT_EQ(complaint(), "");
}

}  // namespace
}  // namespace fovea::engine
