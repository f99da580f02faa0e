// A store of a given size to measure on, made of the generated shop and a version that was hardly
// trained: speed does not depend on what was learned.
//   fovea_fill DATA [--items 200000] [--users 100000] [--behaviours 50] [--seed 1]
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "engine/learning.h"
#include "tests/benchmarks/shop.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void fill(const std::filesystem::path& data, const fovea::engine::SyntheticOptions& shop) {
  if (std::filesystem::exists(data) && !std::filesystem::is_empty(data)) {
    throw std::runtime_error(data.string() + " is not empty; name a directory to be made");
  }
  const auto begin = Clock::now();
  const auto users = fovea::benchmarks::generate(data, shop);
  std::printf("%zu items, %zu users in %.1f s\n", shop.items, users.size(), seconds_since(begin));
  std::fflush(stdout);

  fovea::engine::LearnOptions options;
  options.train.seed = shop.seed;
  options.train.epochs_max = 1;
  options.train.epochs_min = 0;
  options.train.ranker_epochs_max = 1;
  options.train.ranker_examples = 1;
  options.train.ranker_fresh = 0;
  options.train.sampled_softmax_above = 0;
  const auto result = fovea::engine::learn(data, options, [](const auto& step) {
    std::printf("%s: %s\n", step.stage.c_str(), step.message.c_str());
    std::fflush(stdout);
  });
  std::printf("version %s: %zu behaviours, %.1f s\n", result.version.c_str(), result.behaviours,
              seconds_since(begin));
}

}  // namespace

int main(int count, char** values) {
  CLI::App app("Fills a data directory with a generated shop and publishes a version");
  std::filesystem::path data;
  fovea::engine::SyntheticOptions shop{.users = 100'000, .items = 200'000, .events_per_user = 50};
  app.add_option("data", data, "Directory to make")->required();
  app.add_option("--items", shop.items)->capture_default_str()->check(CLI::Range(10, 100'000'000));
  app.add_option("--users", shop.users)->capture_default_str()->check(CLI::Range(1, 100'000'000));
  app.add_option("--behaviours", shop.events_per_user, "Mean of a user")
      ->capture_default_str()
      ->check(CLI::Range(2, 500));
  app.add_option("--seed", shop.seed)->capture_default_str();
  CLI11_PARSE(app, count, values);
  try {
    fill(data, shop);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fovea_fill: %s\n", error.what());
    return 1;
  }
  return 0;
}
