// fovea experiment: who is in which variant, what a summary says, and how many users an effect
// takes. None of these needs a server or a data directory; those of api/experiment_flags read one.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "api/analysis.h"
#include "api/commands.h"
#include "api/config.h"
#include "api/experiment_flags.h"
#include "api/json.h"
#include "api/lines.h"
#include "engine/assignment.h"
#include "engine/power.h"
#include "storage/keys.h"

namespace fovea::api {
namespace {

struct AssignFlags {
  std::filesystem::path config;
  std::optional<std::string> user;
  std::string users;
};

struct PowerFlags {
  std::optional<double> rate;
  std::optional<double> mean;
  std::optional<double> deviation;
  std::optional<double> effect;
  std::optional<std::int64_t> users;
  bool absolute = false;
  engine::PowerOptions options;
  bool json = false;
};

/// What the flag names, or stdin for -. Sentences about what is in it are led by its name.
void with_input(const std::string& name, const std::function<void(std::istream&)>& read) {
  std::ifstream file;
  if (name != "-") {
    file.open(name, std::ios::binary);
    if (!file || std::filesystem::is_directory(name)) {
      throw std::runtime_error(
          fmt::format("{} cannot be read; name a file, or - for standard input", name));
    }
  }
  try {
    read(name == "-" ? std::cin : file);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(
        fmt::format("{}: {}", name == "-" ? "standard input" : name, error.what()));
  }
}

boost::json::object variants_of(const engine::Experiments& experiments, std::string_view unit) {
  boost::json::object variants;
  if (engine::is_held_out(experiments.holdout, unit)) return variants;
  for (const engine::Experiment& experiment : experiments.list) {
    const auto variant = engine::assign(experiment, unit);
    if (!variant) continue;
    variants[experiment.name] =
        experiment.interleave ? engine::kInterleaved : experiment.variants[*variant].name;
  }
  return variants;
}

void run_assign(const AssignFlags& flags) {
  const engine::Experiments experiments = read_config(flags.config).experiments;
  if (flags.user) {
    engine::validate_id(*flags.user, "--user");
    std::cout << variants_of(experiments, *flags.user) << '\n';
    return;
  }
  with_input(flags.users, [&](std::istream& in) {
    LineReader lines(in, storage::kIdBytesMax);
    while (const auto line = lines.next()) {
      const auto field = fmt::format("line {}", line->number);
      if (line->too_long) {
        throw std::runtime_error(
            fmt::format("{} is longer than {} bytes, as no id is", field, storage::kIdBytesMax));
      }
      engine::validate_id(line->text, field);
      std::cout << variants_of(experiments, line->text) << '\n';
    }
  });
}

void run_analyze(const std::string& summary) {
  with_input(summary, [](std::istream& in) {
    std::string text(kJsonBytesMax + 1, '\0');  // one more, so that parse_object sees the excess
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    std::cout << analyze(parse_object(text, kSummaryDepthMax)) << '\n';
  });
}

/// The deviation that the flags say, and the mean of which an effect is a share.
void read_metric(PowerFlags& flags) {
  if (flags.rate) {
    if (flags.mean || flags.deviation) {
      throw std::invalid_argument("--rate says mean and deviation; leave out --mean, --deviation");
    }
    if (!(*flags.rate > 0 && *flags.rate < 1)) {
      throw std::invalid_argument(
          fmt::format("--rate is {}; a share of users between 0 and 1 is expected", *flags.rate));
    }
    flags.mean = flags.rate;
    flags.deviation = std::sqrt(*flags.rate * (1 - *flags.rate));
  }
  if (!flags.deviation) {
    throw std::invalid_argument(
        "how much users differ is not known; give --rate, or --mean and --deviation");
  }
  flags.options.deviation = *flags.deviation;
  if (flags.absolute) {
    flags.mean = 1;
  } else if (!flags.mean || *flags.mean == 0 || !std::isfinite(*flags.mean)) {
    throw std::invalid_argument(
        "a relative effect is a share of the mean; give --mean other than 0, or --absolute");
  }
}

void run_power(PowerFlags flags) {
  read_metric(flags);
  const double unit = std::abs(*flags.mean);
  double effect = flags.effect.value_or(0);
  std::int64_t users = flags.users.value_or(0);
  double power = flags.options.power;
  if (flags.effect && flags.users) {
    power = engine::power_of(effect * unit, users, flags.options);
  } else if (flags.effect) {
    users = engine::users_per_arm(effect * unit, flags.options);
  } else if (flags.users) {
    effect = engine::detectable_effect(users, flags.options) / unit;
  } else {
    throw std::invalid_argument(
        "give --effect for the users it takes, --users for the effect they show, or both for how "
        "often it is seen");
  }
  if (flags.json) {
    std::cout << boost::json::object{{"users_per_arm", users},
                                     {"effect", effect},
                                     {"difference", flags.absolute ? "absolute" : "relative"},
                                     {"power", power},
                                     {"alpha", flags.options.alpha}}
              << '\n';
    return;
  }
  std::cout << fmt::format(
      "{} users in each of two arms see {} of {} in {:.4g} % of experiments, and one where there "
      "is none in {:.4g} %.\n",
      users, flags.absolute ? "a difference" : "a relative difference",
      flags.absolute ? fmt::format("{:.5g}", effect) : fmt::format("{:.5g} %", 100 * effect),
      100 * power, 100 * flags.options.alpha);
}

void add_assign(CLI::App& app) {
  const auto flags = std::make_shared<AssignFlags>();
  CLI::App* command = app.add_subcommand("assign", "Say which variants a user is in");
  command->footer(
      "Prints {\"experiment\": \"variant\"} for each user; an experiment that the user is not in\n"
      "is left out. Whether an experiment has begun or ended is not looked at, and for one whose\n"
      "unit is the session the id counts as the session's.\n\n"
      "Example:\n  fovea experiment assign --config fovea.toml --user ada\n"
      "  cut -d, -f1 users.csv | fovea experiment assign --config fovea.toml --users -");
  command->add_option("--config", flags->config, "TOML with [[experiment]]s")
      ->required()
      ->type_name("FILE");
  auto* one = command->add_option("--user", flags->user, "Id of a user")->type_name("U");
  auto* many = command->add_option("--users", flags->users, "Ids, one a line; - is stdin")
                   ->type_name("FILE");
  one->excludes(many);
  command->callback([flags] {
    if (!flags->user && flags->users.empty()) {
      throw CLI::ValidationError("assign", "nobody to assign; give --user or --users");
    }
    run_assign(*flags);
  });
}

void add_analyze(CLI::App& app) {
  const auto summary = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("analyze", "Compare two arms by their sums, JSON in and out");
  command->footer(
      "In: {\"control\": {\"n\", \"sum\", \"sum_squares\"}, \"treatment\": {the same},\n"
      "     \"difference\": \"relative\" or \"absolute\", \"sequential\": {\"tuning\": 5000}}\n"
      "An arm may also have pre_sum, pre_sum_squares and post_pre_sum_of_products (CUPED), or\n"
      "denominator_sum, denominator_sum_squares and numerator_denominator_sum_of_products (a\n"
      "ratio). With \"sequential\" the result holds however often it is looked at.\n"
      "Also, beside it or alone: \"sample_ratio\": {\"units\": [], \"weights\": []},\n"
      "\"p_values\": [], \"sign_test\": {\"wins\", \"losses\"}, \"off_policy\": [{\"reward\",\n"
      "\"propensity\", \"target_probability\"}].\n\n"
      "Example:\n"
      "  echo '{\"control\": {\"n\": 1000, \"sum\": 100, \"sum_squares\": 100},\n"
      "         \"treatment\": {\"n\": 1010, \"sum\": 130, \"sum_squares\": 130}}' |\n"
      "    fovea experiment analyze --summary -");
  command->add_option("--summary", *summary, "JSON; - is stdin")->required()->type_name("FILE");
  command->callback([summary] { run_analyze(*summary); });
}

void add_power(CLI::App& app) {
  const auto flags = std::make_shared<PowerFlags>();
  CLI::App* command =
      app.add_subcommand("power", "Say how many users an effect takes, or what so many can show");
  command->footer(
      "Example:\n"
      "  fovea experiment power --rate 0.04 --effect 0.05     # 4 % buy; is 5 % more seen?\n"
      "  fovea experiment power --mean 12.5 --deviation 30 --users 20000");
  command->add_option("--rate", flags->rate, "Share of users that do it, for a metric of 0 and 1")
      ->type_name("P");
  command->add_option("--mean", flags->mean, "The metric's mean in the control")->type_name("M");
  command->add_option("--deviation", flags->deviation, "Its standard deviation from user to user")
      ->type_name("S");
  command->add_option("--effect", flags->effect, "Share of the mean, .05 for 5 % more")
      ->type_name("E");
  command->add_option("--users", flags->users, "Users in each arm")->type_name("N");
  command->add_flag("--absolute", flags->absolute, "Effects are in the metric's unit");
  command->add_option("--power", flags->options.power, "How often the effect is to be seen")
      ->capture_default_str();
  command->add_option("--alpha", flags->options.alpha, "How often one is seen where there is none")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "Print it as JSON");
  command->callback([flags] { run_power(*flags); });
}

}  // namespace

void add_experiment(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "experiment", "Assign users to variants and judge which variant is better");
  command->require_subcommand(1);
  add_assign(*command);
  add_analyze(*command);
  add_power(*command);
  add_report(*command);
  add_off_policy(*command);
  add_simulate(*command);
}

}  // namespace fovea::api
