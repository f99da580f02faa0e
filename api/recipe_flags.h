// The flags of a training, the same for every command that trains.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <thread>
#include <type_traits>

#include "api/device_flag.h"
#include "engine/learning.h"

namespace fovea::api {

/// --split, --text-encoder, --seed, --threads, --device and one flag for each choice of the recipe.
inline void add_recipe(CLI::App& command, engine::LearnOptions& options, std::string& split) {
  options.train.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  command
      .add_option("--split", split, "What is held out for evaluate: none, leave-one-out or time")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "leave-one-out", "time"}));
  command
      .add_option("--text-encoder", options.text_encoder,
                  "What encodes texts: the folder of a BERT sentence encoder in Hugging Face's "
                  "layout, or lsa; by default what the version that serves has, lsa at first")
      ->type_name("DIR");
  command.add_option("--seed", options.train.seed, "The same seed gives the same version")
      ->capture_default_str();
  command
      .add_option("--threads", options.train.threads,
                  "Threads that learn; all of the machine's by default")
      ->check(CLI::Range(1, 1024));
  add_device(command, options.device, "What the encoder is trained on");
  ranking::for_each_option(options.train, [&](std::string name, auto& field, auto least, auto most,
                                              const std::string& help) {
    using Field = std::decay_t<decltype(field)>;
    std::ranges::replace(name, '_', '-');
    if constexpr (std::is_same_v<Field, bool>) {
      command.add_flag("--" + name + ",!--no-" + name, field, help)
          ->capture_default_str()
          ->group("Recipe");
    } else {
      command.add_option("--" + name, field, help)
          ->capture_default_str()
          ->check(CLI::Range(static_cast<Field>(least), static_cast<Field>(most)))
          ->group("Recipe");
    }
  });
}

}  // namespace fovea::api
