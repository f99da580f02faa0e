// A shop whose reranking takes long, and really does: thousands of candidates, hundreds of
// behaviours, a wide model. For what is promised about deadlines.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tests/shop.h"

namespace fovea::engine {

class SlowShop {
 public:
  static constexpr std::size_t kItems = 10'000;
  static constexpr std::size_t kBehaviours = 200;
  static constexpr const char* kUser = "reader";

  SlowShop();

  Engine& engine() { return *engine_; }
  /// Every item; to rank them all is what takes long.
  const std::vector<std::string>& items() const { return items_; }

 private:
  Shop shop_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::string> items_;
};

}  // namespace fovea::engine
