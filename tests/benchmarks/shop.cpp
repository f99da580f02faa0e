#include "tests/benchmarks/shop.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/learning.h"

namespace fovea::benchmarks {
namespace {

struct Shop {
  std::filesystem::path directory;
  std::vector<std::string> users;

  Shop() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea_bench_XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
    directory = name;
    users = generate(directory, kShop);
    engine::LearnOptions options;
    options.train.epochs_max = 2;
    options.train.ranker_epochs_max = 1;
    engine::learn(directory, options, [](const engine::LearnProgress&) {});
  }
  ~Shop() { std::filesystem::remove_all(directory); }
  Shop(const Shop&) = delete;
  Shop& operator=(const Shop&) = delete;
};

const Shop& shop() {
  static const Shop made;
  return made;
}

}  // namespace

std::vector<std::string> generate(const std::filesystem::path& directory,
                                  const engine::SyntheticOptions& options) {
  const auto engine = engine::Engine::open(directory);
  const std::vector<engine::Item> items = engine::synthetic_items(options);
  for (std::size_t begin = 0; begin < items.size(); begin += engine::kItemsPerPutMax) {
    engine->put_items(
        std::span(items).subspan(begin, std::min(engine::kItemsPerPutMax, items.size() - begin)));
  }
  engine->declare_action("view", 1);
  engine->declare_action("purchase", 1);
  std::vector<std::string> users;
  std::vector<engine::Event> batch;
  engine::synthetic_events(options, [&](std::span<const engine::Event> events) {
    if (events.empty()) return;
    users.push_back(events.front().user_id);
    for (const engine::Event& event : events) {
      batch.push_back(event);
      if (batch.size() == engine::kEventsPerRecordMax) {
        engine->record(std::exchange(batch, {}));
      }
    }
  });
  engine->record(batch);
  return users;
}

const std::filesystem::path& shop_directory() { return shop().directory; }

const std::string& shop_user(std::size_t n) { return shop().users[n % shop().users.size()]; }

}  // namespace fovea::benchmarks
