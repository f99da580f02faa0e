// A data directory for one test, gone with it, and short ways to fill a store. Shared by the tests
// of storage/.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "storage/db.h"

namespace fovea::storage {

class StoreDirectory {
 public:
  StoreDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "fovea-store-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  ~StoreDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  StoreDirectory(const StoreDirectory&) = delete;
  StoreDirectory& operator=(const StoreDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

  std::unique_ptr<Db> open(const DbOptions& options = {}) const {
    auto db = Db::open(path_, Access::kReadWrite, options);
    db->catalog().declare_action("view", 1);
    return db;
  }
  std::unique_ptr<Db> read_only(const DbOptions& options = {}) const {
    return Db::open(path_, Access::kReadOnly, options);
  }

 private:
  std::filesystem::path path_;
};

inline NewEvent view(std::string_view user_id, std::string_view item_id, std::int64_t time_ms) {
  return {.user_id = user_id, .item_id = item_id, .action = "view", .time_ms = time_ms};
}

inline std::size_t record(Db& db, const NewEvent& event) { return db.record({&event, 1}); }

inline Item item(std::string item_id, std::string text) {
  Item made;
  made.item_id = std::move(item_id);
  made.text = std::move(text);
  return made;
}

/// The items of a history, newest first.
inline std::vector<std::string> items_of(Db& db, std::string_view user_id) {
  std::vector<std::string> items;
  for (const Event& event : db.history().read(user_id, SIZE_MAX)) {
    items.push_back(db.catalog().item_id(event.row));
  }
  return items;
}

inline std::string file_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The message of the StoreError that `call` throws; empty: it threw none.
template <typename Call>
std::string store_error(const Call& call) {
  try {
    call();
  } catch (const StoreError& error) {
    return error.what();
  }
  return "";
}

}  // namespace fovea::storage
