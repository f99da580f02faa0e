// fovea train: flags and what is printed while a version is made.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>

#include "api/commands.h"
#include "api/learn_progress.h"
#include "api/output_file.h"
#include "api/plot.h"
#include "api/recipe_flags.h"
#include "engine/learning.h"

namespace fovea::api {
namespace {

struct TrainFlags {
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
  const auto flags = std::make_shared<TrainFlags>();
  engine::LearnOptions& options = flags->options;
  CLI::App* command = app.add_subcommand("train", "Learn from a store and publish a version");
  command->footer(
      "A server of the same directory takes the version up by itself. One that is worse than what\n"
      "serves, or than the most popular items, is not published. Without behaviours only the\n"
      "texts are learned, so that a catalogue alone can be searched. A training that was killed "
      "goes\n"
      "on where it was when it is started again with the same data and options.\n\n"
      "Example:\n  fovea train --data shop --split leave-one-out\n"
      "  fovea train --data shop --split leave-one-out --from CURRENT --plot training.html");
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command
      ->add_option("--from", options.from,
                   "Go on from this version, or from CURRENT, with what was recorded since: a few "
                   "epochs instead of all")
      ->type_name("VERSION");
  command->add_flag("--fresh", options.fresh, "Start anew where a killed training could go on");
  command->add_option("--plot", flags->plot, "Write a page with every epoch's loss and validation")
      ->type_name("FILE");
  command->add_flag("--force", options.force,
                    "Publish also a version that is worse than the one that serves or than the "
                    "most popular items");
  add_recipe(*command, options, flags->split);
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
    const engine::LearnResult result =
        engine::learn(flags->data, flags->options,
                      [&](const engine::LearnProgress& step) { show(progress, step); });
    progress.keep();
    print(result, flags->split, flags->json);
    if (plot) plot->write(training_page(result, flags->options));
  });
}

}  // namespace fovea::api
