#include "api/analysis.h"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/estimates.h"
#include "api/json_fields.h"
#include "engine/count_tests.h"
#include "engine/multiple_testing.h"
#include "engine/off_policy.h"
#include "engine/statistics.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

/// Called with the path of the field, such as "control.n".
using Read = std::function<void(std::string_view path, const json::value& value)>;

/// Hands each field of an object to its reader; null counts as absent. `path` is empty for the
/// summary itself.
void read_each(std::string_view path, const json::object& object,
               const std::map<std::string_view, Read>& fields) {
  for (const auto& [name, value] : object) {
    const std::string full =
        path.empty() ? std::string(name) : fmt::format("{}.{}", path, std::string_view(name));
    const auto known = fields.find(std::string_view(name));
    if (known == fields.end()) {
      std::string names;
      for (const auto& [field, read] : fields)
        names += (names.empty() ? "" : ", ") + std::string(field);
      refuse_unknown(full, path.empty() ? "a summary" : path, names);
    }
    if (!value.is_null()) known->second(full, value);
  }
}

template <typename Value>
Value required(std::string_view path, std::string_view name, const std::optional<Value>& value) {
  if (value) return *value;
  const auto full = fmt::format("{}.{}", path, name);
  throw engine::InvalidRequest(full, fmt::format("{} is missing", full));
}

Read number_into(std::optional<double>& value) {
  return
      [&value](std::string_view path, const json::value& given) { value = number_of(path, given); };
}

Read integer_into(std::optional<std::int64_t>& value) {
  return [&value](std::string_view path, const json::value& given) {
    value = integer_of(path, given);
  };
}

/// Three sums that come together or not at all.
struct SecondFields {
  std::string_view sum_name;
  std::string_view squares_name;
  std::string_view products_name;
  std::optional<double> sum;
  std::optional<double> squares;
  std::optional<double> products;

  std::optional<engine::SecondSums> read(std::string_view path) const {
    if (!sum && !squares && !products) return std::nullopt;
    return engine::SecondSums{required(path, sum_name, sum), required(path, squares_name, squares),
                              required(path, products_name, products)};
  }
};

engine::Arm arm_of(std::string_view path, const json::value& value) {
  std::optional<std::int64_t> n;
  std::optional<double> sum;
  std::optional<double> squares;
  SecondFields before{"pre_sum", "pre_sum_squares", "post_pre_sum_of_products"};
  SecondFields below{"denominator_sum", "denominator_sum_squares",
                     "numerator_denominator_sum_of_products"};
  read_each(path, object_of(path, value),
            {{"n", integer_into(n)},
             {"sum", number_into(sum)},
             {"sum_squares", number_into(squares)},
             {before.sum_name, number_into(before.sum)},
             {before.squares_name, number_into(before.squares)},
             {before.products_name, number_into(before.products)},
             {below.sum_name, number_into(below.sum)},
             {below.squares_name, number_into(below.squares)},
             {below.products_name, number_into(below.products)}});
  return {required(path, "n", n), required(path, "sum", sum),
          required(path, "sum_squares", squares), before.read(path), below.read(path)};
}

std::vector<double> numbers_of(std::string_view path, const json::value& value) {
  std::vector<double> numbers;
  for (const json::value& number : list_of(path, value)) {
    numbers.push_back(number_of(fmt::format("{}[{}]", path, numbers.size()), number));
  }
  return numbers;
}

json::object sample_ratio(std::string_view path, const json::value& value) {
  std::optional<std::vector<std::int64_t>> units;
  std::optional<std::vector<double>> weights;
  read_each(path, object_of(path, value),
            {{"units",
              [&](std::string_view field, const json::value& list) {
                units.emplace();
                for (const json::value& number : list_of(field, list)) {
                  units->push_back(integer_of(fmt::format("{}[{}]", field, units->size()), number));
                }
              }},
             {"weights", [&](std::string_view field, const json::value& list) {
                weights = numbers_of(field, list);
              }}});
  required(path, "units", units);
  if (!weights) weights = std::vector<double>(units->size(), 1.0);
  const double p = engine::sample_ratio_p_value(*units, *weights);
  return {{"p_value", p}, {"mismatch", p < engine::kSampleRatioMismatch}};
}

json::object sign_test(std::string_view path, const json::value& value, double alpha) {
  std::optional<std::int64_t> wins;
  std::optional<std::int64_t> losses;
  read_each(path, object_of(path, value),
            {{"wins", integer_into(wins)}, {"losses", integer_into(losses)}});
  return estimate_json(
      engine::sign_test(required(path, "wins", wins), required(path, "losses", losses), alpha));
}

engine::LoggedChoice choice_of(std::string_view path, const json::value& value) {
  std::optional<double> reward;
  std::optional<double> propensity;
  std::optional<double> target;
  std::optional<double> of_choice;
  std::optional<double> of_target;
  read_each(path, object_of(path, value),
            {{"reward", number_into(reward)},
             {"propensity", number_into(propensity)},
             {"target_probability", number_into(target)},
             {"expected_of_choice", number_into(of_choice)},
             {"expected_of_target", number_into(of_target)}});
  engine::LoggedChoice choice{required(path, "reward", reward),
                              required(path, "propensity", propensity),
                              required(path, "target_probability", target),
                              {}};
  if (of_choice || of_target) {
    choice.expected = {required(path, "expected_of_choice", of_choice),
                       required(path, "expected_of_target", of_target)};
  }
  return choice;
}

json::object off_policy(std::string_view path, const json::value& value, double alpha) {
  std::vector<engine::LoggedChoice> log;
  for (const json::value& choice : list_of(path, value)) {
    log.push_back(choice_of(fmt::format("{}[{}]", path, log.size()), choice));
  }
  const engine::OffPolicy policy = engine::evaluate_policy(log, path, alpha);
  json::object result{{"effective_sample", policy.effective_sample},
                      {"ips", policy_value_json(policy.ips)},
                      {"snips", policy_value_json(policy.snips)}};
  if (policy.doubly_robust) result["doubly_robust"] = policy_value_json(*policy.doubly_robust);
  return result;
}

}  // namespace

json::object analyze(const json::object& summary) {
  std::optional<engine::Arm> control;
  std::optional<engine::Arm> treatment;
  engine::CompareOptions options;
  // Kept until alpha is known, wherever it stands.
  std::map<std::string_view, const json::value*> others;
  const auto keep = [&](std::string_view name) {
    return [&others, name](std::string_view, const json::value& value) { others[name] = &value; };
  };
  read_each(
      "", summary,
      {{"control", [&](auto path, const auto& value) { control = arm_of(path, value); }},
       {"treatment", [&](auto path, const auto& value) { treatment = arm_of(path, value); }},
       {"difference",
        [&](auto path, const auto& value) {
          const std::string name = string_of(path, value);
          if (name != "relative" && name != "absolute") {
            refuse(path, value, "\"relative\" or \"absolute\"");
          }
          options.scale = name == "relative" ? engine::Scale::kRelative : engine::Scale::kAbsolute;
        }},
       {"alpha", [&](auto path, const auto& value) { options.alpha = number_of(path, value); }},
       {"sequential",
        [&](auto path, const auto& value) {
          read_each(path, object_of(path, value), {{"tuning", number_into(options.tuning)}});
          required(path, "tuning", options.tuning);
        }},
       {"sample_ratio", keep("sample_ratio")},
       {"p_values", keep("p_values")},
       {"sign_test", keep("sign_test")},
       {"off_policy", keep("off_policy")}});
  engine::check_alpha(options.alpha);

  json::object result;
  if (control || treatment) {
    if (!control || !treatment) {
      const std::string missing = control ? "treatment" : "control";
      throw engine::InvalidRequest(
          missing, fmt::format("{} is missing; a difference is between two arms", missing));
    }
    result = estimate_json(engine::compare(*control, *treatment, options));
  }
  for (const auto& [name, value] : others) {
    if (name == "sample_ratio") {
      result[name] = sample_ratio(name, *value);
    } else if (name == "p_values") {
      const auto p_values = numbers_of(name, *value);
      result["holm"] = json::value_from(engine::holm(p_values));
      result["benjamini_hochberg"] = json::value_from(engine::benjamini_hochberg(p_values));
    } else if (name == "sign_test") {
      result[name] = sign_test(name, *value, options.alpha);
    } else {
      result[name] = off_policy(name, *value, options.alpha);
    }
  }
  if (result.empty()) {
    throw engine::InvalidRequest(
        "",
        "there is nothing to analyze; give control and treatment, sample_ratio, "
        "p_values, sign_test or off_policy");
  }
  return result;
}

}  // namespace fovea::api
