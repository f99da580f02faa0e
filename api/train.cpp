// fovea train: flags and what is printed while a version is made.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>

#include "api/commands.h"
#include "api/device_flag.h"
#include "api/output_file.h"
#include "api/plot.h"
#include "api/progress.h"
#include "engine/learning.h"

namespace fovea::api {
namespace {

struct Flags {
  std::filesystem::path data;
  std::string split = "none";
  engine::LearnOptions options;
  std::optional<std::filesystem::path> plot;
  bool json = false;
};

void print(const engine::LearnResult& result, std::string_view split, bool json) {
  if (json) {
    boost::json::object object;
    object["version"] = result.version;
    object["split"] = split;
    if (!result.from.empty()) object["from"] = result.from;
    object["items"] = result.items;
    object["users"] = result.users;
    object["behaviours"] = result.behaviours;
    object["has_model"] = result.has_model;
    boost::json::object metrics;
    for (const auto& [name, value] : result.metrics) metrics[name] = value;
    object["metrics"] = std::move(metrics);
    object["seconds"] = result.seconds;
    std::cout << object << '\n';
    return;
  }
  std::cout << fmt::format("version {}: {} items, {} behaviours of {} users, {:.1f} s\n",
                           result.version, result.items, result.behaviours, result.users,
                           result.seconds);
  if (!result.has_model) {
    std::cout << "No user has two behaviours yet: the version searches texts and knows what is "
                 "popular; train again "
                 "when there are more.\n";
  }
}

}  // namespace

void add_train(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  engine::LearnOptions& options = flags->options;
  options.train.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CLI::App* command = app.add_subcommand("train", "Learn from a store and publish a version");
  command->footer(
      "A server of the same directory takes the version up by itself. Without behaviours only the\n"
      "texts are learned, so that a catalogue alone can be searched. A training that was killed "
      "goes\n"
      "on where it was when it is started again with the same data and options.\n\n"
      "Example:\n  fovea train --data shop --split leave-one-out\n"
      "  fovea train --data shop --split leave-one-out --from CURRENT --plot training.html");
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command
      ->add_option("--split", flags->split,
                   "What is held out for evaluate: none, leave-one-out or time")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "leave-one-out", "time"}));
  command
      ->add_option("--from", options.from,
                   "Go on from this version, or from CURRENT, with what was recorded since: a few "
                   "epochs instead of all")
      ->type_name("VERSION");
  command->add_flag("--fresh", options.fresh, "Start anew where a killed training could go on");
  command->add_option("--plot", flags->plot, "Write a page with every epoch's loss and validation")
      ->type_name("FILE");
  command->add_option("--seed", options.train.seed, "The same seed gives the same version")
      ->capture_default_str();
  command
      ->add_option("--threads", options.train.threads,
                   "Threads that learn; all of the machine's by default")
      ->check(CLI::Range(1, 1024));
  add_device(*command, options.device, "What the encoder is trained on");
  ranking::for_each_option(options.train, [&](std::string name, auto& field, auto least, auto most,
                                              const std::string& help) {
    using Field = std::decay_t<decltype(field)>;
    std::ranges::replace(name, '_', '-');
    if constexpr (std::is_same_v<Field, bool>) {
      command->add_flag("--" + name + ",!--no-" + name, field, help)
          ->capture_default_str()
          ->group("Recipe");
    } else {
      command->add_option("--" + name, field, help)
          ->capture_default_str()
          ->check(CLI::Range(static_cast<Field>(least), static_cast<Field>(most)))
          ->group("Recipe");
    }
  });
  command->add_flag("--json", flags->json, "Print the result as JSON");
  command->callback([flags, command] {
    if (!flags->options.from.empty()) {
      // It begins where a training ends: there is no start to get over, and little left to wait
      // for.
      ranking::TrainOptions& train = flags->options.train;
      if (command->count("--epochs-min") == 0) train.epochs_min = 1;
      if (command->count("--patience") == 0) train.patience = 2;
    }
    std::optional<OutputFile> plot;
    if (flags->plot) plot.emplace("--plot", *flags->plot);
    flags->options.split = engine::parse_split(flags->split);
    Progress progress = Progress::to_stderr();
    const engine::LearnResult result = engine::learn(
        flags->data, flags->options,
        [&](const engine::LearnProgress& step) { progress.step(step.stage, step.message); });
    progress.keep();
    print(result, flags->split, flags->json);
    if (plot) plot->write(training_page(result, flags->options));
  });
}

}  // namespace fovea::api
