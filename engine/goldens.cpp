#include "engine/goldens.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include "engine/files.h"
#include "engine/models.h"
#include "ranking/random.h"

namespace fovea::engine {
namespace {

namespace json = boost::json;

/// Behaviours of each request: the shortest history, and enough for every window that is read.
constexpr std::array<std::size_t, 4> kLengths = {1, 3, 12, 60};
constexpr std::size_t kCandidates = 12;
constexpr std::size_t kRequestsMax = 100;  // that a file may hold
constexpr std::int64_t kFirstMs = 1'700'000'000'000;

struct Golden {
  std::vector<ranking::Behaviour> behaviours;  // [L], oldest first
  std::vector<std::uint32_t> candidates;       // [N], rows
};

/// Arrays of some rows, one after another.
std::vector<float> gather(std::span<const float> from, std::size_t width,
                          std::span<const std::uint32_t> rows) {
  std::vector<float> result;
  for (const std::uint32_t row : rows) {
    const auto vector = from.subspan(row * width, width);
    result.insert(result.end(), vector.begin(), vector.end());
  }
  return result;
}

/// As serving computes them, but for the centre, which is the same for every candidate.
std::vector<float> score(const Version& version, const Golden& golden) {
  const ranking::Model& model = *version.model;
  const std::size_t kept = std::min(golden.behaviours.size(), model.behaviours_max());
  const std::span<const ranking::Behaviour> all = golden.behaviours;
  const auto read = all.last(kept);
  std::vector<std::uint32_t> rows;
  for (const ranking::Behaviour& behaviour : read) rows.push_back(behaviour.row);
  const std::vector<float> vectors = gather(version.vectors, model.width(), rows);
  const std::vector<float> texts = gather(version.texts, model.text_width(), rows);
  const ranking::BehaviourInput input{read, vectors, texts, all.first(all.size() - kept)};
  const auto state = model.user_state(ranking::Context{}, input);
  const auto& candidates = golden.candidates;
  return model
      .score(ranking::Context{}, state, input,
             {candidates, gather(version.vectors, model.width(), candidates),
              gather(version.texts, model.text_width(), candidates),
              gather(version.log_popularity, 1, candidates)},
             /*centre=*/0, /*explain=*/false)
      .total;
}

/// Items with a behaviour, of which every part of a score has something to say; all where there is
/// none.
std::vector<std::uint32_t> drawn_from(const Version& version) {
  std::vector<std::uint32_t> rows;
  for (const bool touched : {true, false}) {
    for (std::uint32_t row = 0; row < version.card.items && (touched || rows.empty()); ++row) {
      if (!touched || version.log_popularity[row] > 0) rows.push_back(row);
    }
    if (!rows.empty()) return rows;
  }
  return rows;
}

std::vector<Golden> draw(const Version& version) {
  const std::vector<std::uint32_t> rows = drawn_from(version);
  std::vector<Golden> goldens;
  if (rows.empty()) return goldens;
  ranking::Random random(version.card.options.seed);
  for (const std::size_t length : kLengths) {
    Golden& golden = goldens.emplace_back();
    std::int64_t time_ms = kFirstMs;
    for (std::size_t i = 0; i < length; ++i) {
      // From a second to weeks: every bucket of time between behaviours.
      time_ms += std::int64_t{1000} << random.below(21);
      golden.behaviours.push_back(
          {rows[random.below(rows.size())],
           static_cast<std::uint16_t>(random.below(version.model->actions())),
           static_cast<float>(random.below(6)), time_ms});
    }
    for (std::size_t c = 0; c < kCandidates; ++c) {
      golden.candidates.push_back(rows[random.below(rows.size())]);
    }
  }
  return goldens;
}

json::object to_json(const Golden& golden, std::span<const float> scores) {
  json::array behaviours;
  for (const ranking::Behaviour& b : golden.behaviours) {
    behaviours.push_back(
        {{"row", b.row}, {"action", b.action}, {"value", b.value}, {"time_ms", b.time_ms}});
  }
  return {{"behaviours", std::move(behaviours)},
          {"candidates", json::value_from(golden.candidates)},
          {"scores", json::value_from(std::vector<float>(scores.begin(), scores.end()))}};
}

std::uint32_t row_of(const json::value& value, const Version& version) {
  const auto row = value.to_number<std::uint32_t>();
  if (row >= version.card.items) throw std::out_of_range(fmt::format("there is no row {}", row));
  return row;
}

Golden parse(const json::value& request, const Version& version) {
  Golden golden;
  for (const json::value& b : request.at("behaviours").as_array()) {
    golden.behaviours.push_back(
        {row_of(b.at("row"), version), b.at("action").to_number<std::uint16_t>(),
         b.at("value").to_number<float>(), b.at("time_ms").to_number<std::int64_t>()});
  }
  for (const json::value& row : request.at("candidates").as_array()) {
    golden.candidates.push_back(row_of(row, version));
  }
  if (golden.behaviours.empty()) throw std::out_of_range("a request has no behaviours");
  return golden;
}

}  // namespace

std::string golden_outputs(const Version& version) {
  json::array requests;
  for (const Golden& golden : draw(version)) {
    const std::vector<float> scores = score(version, golden);
    if (!std::ranges::all_of(scores, [](float s) { return std::isfinite(s); })) {
      throw std::runtime_error(
          "the model that was learned gives scores that are no numbers, and is not kept; train "
          "with "
          "a lower --learning-rate");
    }
    requests.push_back(to_json(golden, scores));
  }
  return json::serialize(json::object{{"requests", std::move(requests)}}) + "\n";
}

void check_goldens(const Version& version, const std::filesystem::path& file) {
  const json::value parsed = json::parse(read_small(file));
  const json::array& requests = parsed.at("requests").as_array();
  if (requests.size() > kRequestsMax) fail(file, "holds more requests than are ever written");
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const Golden golden = parse(requests[r], version);
    const json::array& expected = requests[r].at("scores").as_array();
    const std::vector<float> scores = score(version, golden);
    if (expected.size() != scores.size()) {
      fail(file, fmt::format("request {} has {} candidates and {} scores", r + 1, scores.size(),
                             expected.size()));
    }
    for (std::size_t c = 0; c < scores.size(); ++c) {
      const auto had = expected[c].to_number<double>();
      if (std::abs(scores[c] - had) <= kGoldenTolerance) continue;  // false for what is no number
      fail(file,
           fmt::format("request {} of {}, candidate {} (row {}): the score was {} when the version "
                       "was written and is {} here, more than {} away; train on a machine and with "
                       "a program that compute as this one does",
                       r + 1, requests.size(), c + 1, golden.candidates[c], had, scores[c],
                       kGoldenTolerance));
    }
  }
}

}  // namespace fovea::engine
