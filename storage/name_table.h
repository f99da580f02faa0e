// Item ids by row and rows by item id, held in memory: the bytes of the ids, and about 16 more
// each, so that a million items take some tens of megabytes. Owns no lock and no disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::storage {

/// Thread-compatible: const calls may run at once.
class NameTable {
 public:
  NameTable();

  std::uint32_t size() const { return static_cast<std::uint32_t>(ends_.size()); }
  std::optional<std::uint32_t> find(std::string_view name) const;
  std::string_view name(std::uint32_t row) const;  ///< row < size(). Valid until the next append.

  /// Gives `name`, which is not yet there, the row size().
  void append(std::string_view name);

 private:
  std::size_t slot_of(std::string_view name) const;  ///< Where it is, or the free slot for it.

  std::string bytes_;                 // the names, one after the other
  std::vector<std::uint64_t> ends_;   // of row's name in bytes_
  std::vector<std::uint32_t> slots_;  // open addressing: row, or kFree; at most half of them taken
};

}  // namespace fovea::storage
