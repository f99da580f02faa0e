#include "engine/dataset.h"

#include <algorithm>
#include <cmath>
#include <ranges>

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

std::vector<float> log_popularity(const ranking::Interactions& interactions, std::size_t items,
                                  std::span<const float> action_weights) {
  std::vector<float> result(items);
  for (const ranking::Behaviour& behaviour : interactions.behaviours) {
    if (action_weights[behaviour.action] > 0) ++result[behaviour.row];
  }
  for (float& count : result) count = std::log1p(count);
  return result;
}

}  // namespace fovea::engine
