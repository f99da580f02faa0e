// fovea experiment off-policy: which policy is meant, and what its estimates are called.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include "api/estimates.h"
#include "api/experiment_flags.h"
#include "engine/engine.h"
#include "engine/live_model.h"
#include "engine/models.h"
#include "engine/randomised_slice.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

struct OffPolicyFlags : ExperimentFlags {
  std::optional<std::string> model_version;
  std::optional<std::string> variant;
  bool no_ranker = false;
};

struct Target {
  engine::TargetPolicy policy;
  std::optional<std::string> model_version;  ///< Absent: the one that serves.
};

Target target_of(const OffPolicyFlags& flags, const engine::Experiment& experiment) {
  if (!flags.variant) return {{!flags.no_ranker, {}}, flags.model_version};
  std::string names;
  for (const engine::Variant& variant : experiment.variants) {
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", variant.name);
    if (variant.name != *flags.variant) continue;
    if (variant.set.diversity.value_or(0) > 0) {
      throw engine::InvalidRequest(
          "variant",
          fmt::format("variant '{}' sets a diversity, which moves an item by what stands "
                      "around it and cannot be judged place by place",
                      variant.name));
    }
    return {{variant.set.ranker.value_or(true), variant.set.boosts}, variant.set.model_version};
  }
  throw engine::InvalidRequest("variant",
                               fmt::format("experiment '{}' has no variant '{}'; it has these: {}",
                                           experiment.name, *flags.variant, names));
}

engine::Snapshot snapshot_of(engine::Engine& engine, const OffPolicyFlags& flags,
                             const Target& target) {
  engine::Snapshot serving = engine.snapshot();
  if (!target.model_version ||
      (serving.model && serving.model->card().version == *target.model_version)) {
    return serving;
  }
  const auto live = std::make_shared<engine::LiveModel>(
      engine::Versions(flags.data).load_older(*target.model_version));
  live->catch_up(engine.db().catalog(), live->card().catalog_revision,
                 static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  return engine.snapshot(live);
}

void run(const OffPolicyFlags& flags) {
  if (!flags.model_version && !flags.variant && !flags.no_ranker) {
    throw std::invalid_argument(
        "no policy to judge; give --model-version, --no-ranker or --variant");
  }
  engine::EngineOptions options;
  options.access = storage::Access::kReadOnly;  // beside a server
  options.record_exposures = false;
  options.reload_interval = std::chrono::milliseconds(0);
  const auto engine = engine::Engine::open(flags.data, options);
  const engine::Experiment experiment = flags.declared(engine->db());
  const auto success = flags.success ? flags.success : experiment.success;
  if (!success) {
    throw engine::InvalidRequest(
        "success", fmt::format("experiment '{}' declares no success; name the action that counts, "
                               "--success ACTION",
                               experiment.name));
  }
  const Target target = target_of(flags, experiment);
  const engine::Snapshot snapshot = snapshot_of(*engine, flags, target);
  const engine::RandomisedSlice slice = engine::randomised_slice(
      snapshot, experiment,
      {flags.version.value_or(experiment.version), *success, flags.window_ms(), flags.until_ms()},
      target.policy);
  if (slice.choices.empty()) {
    throw engine::InvalidRequest(
        "experiment",
        fmt::format("no list of experiment '{}' was shuffled; let it shuffle a share of its lists "
                    "and wait until some were shown",
                    experiment.name));
  }
  const engine::OffPolicy values = engine::evaluate_policy(slice.choices, "the log");
  const std::string version = snapshot.model ? snapshot.model->card().version : "none";
  if (flags.json) {
    std::cout << json::object{{"experiment", experiment.name},
                              {"model_version", version},
                              {"ranker", target.policy.ranker},
                              {"lists", slice.lists},
                              {"left_out", slice.left_out},
                              {"choices", slice.choices.size()},
                              {"effective_sample", values.effective_sample},
                              {"logged_reward", slice.logged_reward},
                              {"ips", policy_value_json(values.ips)},
                              {"snips", policy_value_json(values.snips)},
                              {"doubly_robust", policy_value_json(*values.doubly_robust)}}
              << '\n';
    return;
  }
  std::cout << fmt::format(
      "version {}{}: '{}' per place, over {} choices of {} shuffled lists, worth {:.0f}; {} lists "
      "left out\n\n{:<24}{:>10}   95 % interval\n{:<24}{:>10.5f}\n",
      version, target.policy.ranker ? "" : " without ranker", *success, slice.choices.size(),
      slice.lists, values.effective_sample, slice.left_out, "", "estimate", "as it was shuffled",
      slice.logged_reward);
  const auto line = [](const char* name, const engine::PolicyValue& value) {
    std::cout << fmt::format("{:<24}{:>10.5f}   {:.5f} to {:.5f}\n", name, value.estimate,
                             value.ci.low, value.ci.high);
  };
  line("inverse propensity", values.ips);
  line("self-normalised", values.snips);
  line("doubly robust", *values.doubly_robust);
}

}  // namespace

void add_off_policy(CLI::App& experiment) {
  const auto flags = std::make_shared<OffPolicyFlags>();
  CLI::App* command = experiment.add_subcommand(
      "off-policy", "Estimate what another policy would have earned, from lists left to chance");
  command->footer(
      "Of the lists whose first places were shuffled, each place is a choice. The policy orders\n"
      "the same items over what was known of the user before; where it agrees with chance, what\n"
      "was earned counts for it. A version that was trained on behaviours after the lists is\n"
      "judged too well.\n\n"
      "Example:\n  fovea experiment off-policy --data shop --experiment slice --no-ranker");
  flags->add_to(*command);
  command
      ->add_option("--model-version", flags->model_version,
                   "Judge this version; by default the one that serves")
      ->type_name("V");
  command->add_flag("--no-ranker", flags->no_ranker,
                    "Judge the order by closeness alone, as without the ranker");
  command->add_option("--variant", flags->variant, "Judge what this variant of the experiment sets")
      ->type_name("NAME")
      ->excludes("--model-version")
      ->excludes("--no-ranker");
  command->callback([flags] { run(*flags); });
}

}  // namespace fovea::api
