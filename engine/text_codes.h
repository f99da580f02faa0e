// Texts as small numbers: what an attribute's columns hold instead of strings. Owns the texts, the
// way back and forth, and their order by bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/filter.h"

namespace fovea::engine {

/// Gives texts the codes 1, 2, ... as they come; a text keeps its code, and stays, for ever. One
/// thread at a time may add; any may read beside it without waiting.
class TextCodes {
 public:
  TextCodes() = default;
  TextCodes(const TextCodes&) = delete;
  TextCodes& operator=(const TextCodes&) = delete;

  /// The text's code, a new one if it has none.
  std::uint32_t add(std::string_view text);
  /// Sorts what is new into the order once it is much; to be called after adding.
  void settle();

  std::optional<std::uint32_t> find(std::string_view text) const;
  /// Of a code that find() gave, or that came from the adding thread some other way.
  const std::string& text(std::uint32_t code) const { return *place(code); }
  std::uint32_t size() const { return size_.load(std::memory_order_acquire); }

  /// By code, 0 .. size(): 1 where the comparison holds for the text; 0 for code 0. Looks at few
  /// texts: the others are known by their place in the order.
  std::vector<std::uint8_t> matching(const Filter::Comparison& comparison) const;

  std::size_t bytes() const;  ///< Of memory, roughly.

 private:
  /// Open addressing; a slot holds a code or 0. Never full by half.
  struct Table {
    explicit Table(std::size_t slots) : mask(slots - 1), codes(slots) {}
    std::size_t mask;
    std::vector<std::atomic<std::uint32_t>> codes;
  };
  /// Codes by their texts; those given after it was sorted are not in it.
  using Order = std::vector<std::uint32_t>;

  static constexpr std::size_t kFirstBlock = 8;
  /// Codes kFirstBlock * (2^b - 1) + 1 and on lie in block b, which holds kFirstBlock * 2^b texts.
  std::string* place(std::uint32_t code) const;
  void insert(Table& table, std::uint32_t code) const;
  void grow_table();
  std::shared_ptr<const Order> order() const;

  std::atomic<std::uint32_t> size_{0};
  // Neither moves nor goes, since readers may be in them; outgrown tables are at most as much
  // again.
  std::array<std::unique_ptr<std::string[]>, 30> blocks_;
  std::array<std::unique_ptr<Table>, 30> tables_;
  std::size_t table_count_ = 0;
  std::atomic<const Table*> table_{nullptr};
  mutable std::mutex mutex_;  // guards the pointer only
  std::shared_ptr<const Order> order_ = std::make_shared<const Order>();
};

}  // namespace fovea::engine
