// See evaluation.h.
#include "api/evaluation.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

namespace fovea::api {
namespace {

namespace json = boost::json;

struct Stage {
  const char* key;
  const char* title;
  ranking::Metrics engine::Stages::* metrics;
};
constexpr std::array<Stage, 4> kStages = {{
    {"popular", "most popular", &engine::Stages::popular},
    {"transitions", "transitions", &engine::Stages::transitions},
    {"retrieval", "retrieval, exact", &engine::Stages::retrieval},
    {"ranked", "ranked, as served", &engine::Stages::ranked},
}};
constexpr std::array<const char*, 6> kMetrics = {"hr@5",    "hr@10", "ndcg@5",
                                                 "ndcg@10", "mrr",   "coverage@10"};

std::array<double, kMetrics.size()> values(const ranking::Metrics& m) {
  return {m.hr_5, m.hr_10, m.ndcg_5, m.ndcg_10, m.mrr, m.coverage_10};
}

json::object stages_json(const engine::Stages& stages) {
  json::object result{{"users", stages.users}};
  for (const Stage& stage : kStages) {
    json::object metrics;
    const auto numbers = values(stages.*stage.metrics);
    for (std::size_t i = 0; i < kMetrics.size(); ++i) metrics[kMetrics[i]] = numbers[i];
    result[stage.key] = std::move(metrics);
  }
  return result;
}

std::string header(std::string_view title) {
  std::string line = fmt::format("{:<28}", title);
  for (const char* metric : kMetrics) line += fmt::format("{:>12}", metric);
  return line + "\n";
}

std::string part(std::string_view title, const engine::Stages& stages) {
  std::string text = header(fmt::format("{} {}", stages.users, title));
  for (const Stage& stage : kStages) {
    text += fmt::format("{:<28}", stage.title);
    for (const double value : values(stages.*stage.metrics))
      text += fmt::format("{:>12.4f}", value);
    text += '\n';
  }
  return text;
}

std::string lengths(const engine::Evaluation& evaluation) {
  std::string text = fmt::format("{:<20}{:>8}", "behaviours before", "users");
  for (const Stage& stage : kStages) text += fmt::format("{:>22}", stage.key);
  text += "\n" + std::string(28, ' ');
  for (std::size_t i = 0; i < kStages.size(); ++i) text += fmt::format("{:>22}", "hr@10  ndcg@10");
  text += '\n';
  for (const auto& length : evaluation.history_length) {
    text += fmt::format("{:<20}{:>8}",
                        length.most == 0 ? fmt::format("{} or more", length.least)
                                         : fmt::format("{} to {}", length.least, length.most),
                        length.stages.users);
    for (const Stage& stage : kStages) {
      const ranking::Metrics& m = length.stages.*stage.metrics;
      text += fmt::format("{:>22}", fmt::format("{:.4f}   {:.4f}", m.hr_10, m.ndcg_10));
    }
    text += '\n';
  }
  return text;
}

using Fold = double (*)(std::span<const double>);

double mean(std::span<const double> numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number;
  return sum / static_cast<double>(numbers.size());
}

double spread(std::span<const double> numbers) {
  const double middle = mean(numbers);
  double squares = 0;
  for (const double number : numbers) squares += (number - middle) * (number - middle);
  return std::sqrt(squares / static_cast<double>(numbers.size() - 1));
}

/// The tree of `runs` with every number replaced by what `fold` makes of the runs'.
json::value fold_runs(const std::vector<const json::value*>& runs, Fold fold) {
  const json::value& first = *runs.front();
  const auto inside = [&](const auto& of) {
    std::vector<const json::value*> parts;
    for (const json::value* run : runs) parts.push_back(&of(*run));
    return fold_runs(parts, fold);
  };
  if (first.is_object()) {
    json::object result;
    for (const auto& [key, value] : first.get_object()) {
      result[key] = inside([&, name = key](const json::value& run) -> const json::value& {
        return run.as_object().at(name);
      });
    }
    return result;
  }
  if (first.is_array()) {
    json::array result;
    for (std::size_t i = 0; i < first.get_array().size(); ++i) {
      result.push_back(inside(
          [i](const json::value& run) -> const json::value& { return run.as_array().at(i); }));
    }
    return result;
  }
  std::vector<double> numbers;
  for (const json::value* run : runs) numbers.push_back(run->to_number<double>());
  return fold(numbers);
}

}  // namespace

json::object to_json(const engine::Evaluation& evaluation) {
  json::object result = stages_json(evaluation);
  json::object& ranked = result["ranked"].as_object();
  ranked["recall@K"] = evaluation.candidates_recall;
  ranked["K"] = evaluation.candidates_mean;
  result["cold"] = stages_json(evaluation.cold);
  result["tie_free"] = stages_json(evaluation.tie_free);
  json::array by_length;
  for (const auto& length : evaluation.history_length) {
    json::object one{{"least", length.least}, {"most", length.most}};
    for (auto& [key, value] : stages_json(length.stages)) one[key] = std::move(value);
    by_length.push_back(std::move(one));
  }
  result["history_length"] = std::move(by_length);
  return result;
}

std::string table(const engine::Evaluation& evaluation) {
  std::string text = part("users", evaluation);
  text += fmt::format(
      "The test item was among the {:.0f} ranked candidates of {:.1f} % of the users.\n",
      evaluation.candidates_mean, 100 * evaluation.candidates_recall);
  if (evaluation.tie_free.users > 0) text += "\n" + part("users without ties", evaluation.tie_free);
  if (evaluation.cold.users > 0) text += "\n" + part("cold test items", evaluation.cold);
  return text + "\n" + lengths(evaluation);
}

json::object to_json(const engine::EvaluatedUser& user) {
  const auto place = [](const std::optional<std::size_t>& from_one) {
    return from_one ? json::value(*from_one) : json::value();
  };
  json::array top;
  for (const auto& [item_id, score] : user.top) {
    top.push_back(json::object{{"item_id", item_id}, {"score", score}});
  }
  return {{"user_id", user.user_id},
          {"item_id", user.item_id},
          {"popular", place(user.popular)},
          {"transitions", place(user.transitions)},
          {"retrieval", place(user.retrieval)},
          {"ranked", place(user.ranked)},
          {"top", std::move(top)}};
}

json::object over_seeds(std::span<const std::uint64_t> seeds, std::span<const json::object> runs) {
  std::vector<json::value> values(runs.begin(), runs.end());
  std::vector<const json::value*> trees;
  for (const json::value& value : values) trees.push_back(&value);
  return {{"seeds", json::array(seeds.begin(), seeds.end())},
          {"mean", fold_runs(trees, mean)},
          {"spread", fold_runs(trees, spread)},
          {"runs", json::array(runs.begin(), runs.end())}};
}

std::string seeds_table(const json::object& over_seeds) {
  std::string text;
  const auto add = [&](const std::string& title, const json::object& means,
                       const json::object& spreads) {
    text += fmt::format("{:<20}", title);
    for (const char* metric : kMetrics) text += fmt::format("{:>17}", metric);
    text += '\n';
    for (const Stage& stage : kStages) {
      text += fmt::format("{:<20}", stage.title);
      for (const char* metric : kMetrics) {
        const auto of = [&](const json::object& tree) {
          return tree.at(stage.key).as_object().at(metric).to_number<double>();
        };
        text += fmt::format("{:>17}", fmt::format("{:.4f} ± {:.4f}", of(means), of(spreads)));
      }
      text += '\n';
    }
  };
  const json::object& means = over_seeds.at("mean").as_object();
  const json::object& spreads = over_seeds.at("spread").as_object();
  const auto users = [](const json::object& tree) {
    return fmt::format("{:.0f}", tree.at("users").to_number<double>());
  };
  add(users(means) + " users", means, spreads);
  for (const auto& [key, title] :
       {std::pair{"tie_free", " without ties"}, std::pair{"cold", " cold test items"}}) {
    const json::object& part = means.at(key).as_object();
    if (part.at("users").to_number<double>() == 0) continue;
    text += '\n';
    add(users(part) + title, part, spreads.at(key).as_object());
  }
  return text + fmt::format("Mean and standard deviation of {} seeds.\n",
                            over_seeds.at("seeds").as_array().size());
}

}  // namespace fovea::api
