// Items by name and by row, and the declared actions. Names become 32-bit rows here and nowhere
// else. A row is given once and never reused, so that histories, models and indexes can refer to it
// for ever; a removed item loses its record and keeps its row, and takes the same row when it is
// put again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fovea::storage {

using AttributeValue = std::variant<std::string, double, bool, std::vector<std::string>>;

struct Item {
  std::string item_id;
  std::optional<std::string> text;
  std::map<std::string, AttributeValue> attributes;
  std::optional<std::vector<float>> embedding;
};

struct StoredItem : Item {
  std::uint32_t row = 0;
  std::uint64_t revision =
      0;  ///< Grows with every put of any item; tells what changed after a model was trained.
};

struct Action {
  std::string name;
  double weight = 1;  ///< Negative pushes away; 0 is context only.
};

/// Obtained from Db; thread-safe. Names, rows and presence are held in memory, the rest on disk.
class Catalog {
 public:
  /// Adds or replaces; durable when it returns. Gives the rows, in order, and the revision of the
  /// last.
  struct PutResult {
    std::vector<std::uint32_t> rows;
    std::uint64_t revision = 0;
  };
  PutResult put(std::span<const Item> items);

  /// Durable when it returns. Rows of those that existed; the others are left out.
  std::vector<std::uint32_t> remove(std::span<const std::string_view> item_ids);

  /// The row of a name that is known, whether its item is present or not.
  std::optional<std::uint32_t> row(std::string_view item_id) const;
  /// The name of a row below rows(); std::logic_error otherwise.
  std::string item_id(std::uint32_t row) const;
  bool present(std::uint32_t row) const;
  std::vector<bool> present() const;  ///< By row, of all at one moment: for who asks for hundreds.

  /// The first `limit` rows of present items whose ids begin with `prefix`. Walks the names in
  /// memory while puts wait: a millisecond or so for 200,000.
  std::vector<std::uint32_t> rows_with_prefix(std::string_view prefix, std::size_t limit) const;

  std::optional<StoredItem> get(std::uint32_t row) const;
  /// Every present item in row order, over one consistent snapshot. `after_revision` leaves out
  /// older puts. A delete_user waits until the visit is over, so `visit` must not call it.
  void for_each(const std::function<void(const StoredItem&)>& visit,
                std::uint64_t after_revision = 0) const;

  std::uint32_t rows() const;      ///< Rows given so far, present or not.
  std::int64_t size() const;       ///< Items present.
  std::uint64_t revision() const;  ///< Of the newest put; 0 for none.
  /// That of the first embedding ever put, kept for the store's life; put() throws
  /// std::invalid_argument on another. Absent: no item has brought one.
  std::optional<std::size_t> embedding_width() const;

  /// Declares an action or changes its weight; durable. At most 1,000 actions: std::length_error.
  std::uint16_t declare_action(std::string_view name, double weight);
  std::optional<std::uint16_t> action(std::string_view name) const;
  std::vector<Action> actions() const;  ///< By action index.

  struct State;
  explicit Catalog(State& state) : state_(state) {}

 private:
  State& state_;
};

}  // namespace fovea::storage
