// The flags of what a search weighs, for the commands that measure it. `serve` has them as
// settings.
#pragma once

#include <CLI/CLI.hpp>
#include <vector>

#include "engine/searched_text.h"

namespace fovea::api {

/// Adds them; `into` must outlive the command. Returns them.
inline std::vector<CLI::Option*> add_search_weights(CLI::App& command,
                                                    engine::SearchOptions& into) {
  std::vector<CLI::Option*> options;
  const auto add = [&](const char* name, double& weight, const char* help) {
    options.push_back(command.add_option(name, weight, help)
                          ->capture_default_str()
                          ->check(CLI::Range(0.0, 1000.0)));
  };
  add("--words-weight", into.weights.words,
      "What the search by words counts for in the fused list");
  add("--vectors-weight", into.weights.vectors, "What the search by vectors counts for in it");
  add("--query-attention", into.query_attention,
      "How much more behaviours count that have to do with the query; 0: they do not");
  return options;
}

}  // namespace fovea::api
