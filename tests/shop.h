// A small shop for tests of the engine: a data directory that goes away with it, items of four
// kinds, users who each like one kind, a clock moved by hand, and versions put together without
// training. Everything in it is real: the store is RocksDB, a version has a fitted text space,
// counted transitions and indexes, and weights as they are before the first step of training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/models.h"

namespace fovea::engine {

class Shop {
 public:
  static constexpr std::size_t kKinds = 4;
  static constexpr std::size_t kItemsPerKind = 20;
  static constexpr std::size_t kUsers = 24;

  Shop();
  ~Shop();
  Shop(const Shop&) = delete;
  Shop& operator=(const Shop&) = delete;

  const std::filesystem::path& directory() const { return directory_; }
  std::int64_t now_ms = 1'700'000'000'000;

  EngineOptions options();  ///< With this shop's clock and no reload thread.
  std::unique_ptr<Engine> open() { return Engine::open(directory_, options()); }

  /// "dragons-7": of kind 0 .. 3, number 0 .. kItemsPerKind - 1.
  static std::string id(std::size_t kind, std::size_t number);
  static std::string kind_of(const std::string& item_id);
  static Item item(std::size_t kind, std::size_t number);
  Event event(std::string user, std::string item) const;  ///< A view, now.

  /// Declares "view" and "skip" (weight -1), puts all items, and lets user u, "user-0" onwards,
  /// view ten items of kind u % 4, one a minute.
  void stock(Engine& engine);

  /// Of what a version learned; more of each takes longer to rank by.
  struct Size {
    std::size_t width = 8;
    std::size_t behaviours_max = 12;
  };
  Version text_version(storage::Db& db) const;
  Version learned_version(storage::Db& db) const { return learned_version(db, Size()); }
  Version learned_version(storage::Db& db, const Size& size) const;
  std::string publish(Version version) const;

 private:
  std::filesystem::path directory_;
};

/// The ids of a response, best first.
std::vector<std::string> ids(const RankResponse& response);

}  // namespace fovea::engine
