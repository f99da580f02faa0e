#include "engine/dataset.h"

#include <algorithm>
#include <ranges>
#include <span>

#include "engine/behaviours.h"

namespace fovea::engine {

Dataset read_dataset(storage::Db& db) {
  const storage::Catalog& catalog = db.catalog();
  Dataset dataset;
  const std::vector<storage::Action> actions = catalog.actions();
  for (std::size_t action = 0; action <= actions.size(); ++action) {
    dataset.action_weights.push_back(
        static_cast<float>(action_weight(actions, static_cast<std::uint16_t>(action))));
  }
  std::vector<bool> present(catalog.rows());
  for (std::uint32_t row = 0; row < present.size(); ++row) present[row] = catalog.present(row);

  std::vector<ranking::Behaviour> oldest_first;
  db.history().for_each_user([&](std::string_view, std::span<const storage::Event> newest_first) {
    oldest_first.clear();
    for (const storage::Event& event : std::views::reverse(newest_first)) {
      if (event.row < present.size() && present[event.row])
        oldest_first.push_back(to_behaviour(event));
    }
    dataset.interactions.add_user(oldest_first);
  });
  return dataset;
}

}  // namespace fovea::engine
