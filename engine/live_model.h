// A version that serves: its model and text space, and indexes and vectors that follow the
// catalogue since. Owns the encoding of new items; when a version is loaded or replaced is the
// engine's decision.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/gpu_model.h"
#include "engine/item_vectors.h"
#include "engine/models.h"
#include "engine/popularity.h"
#include "index/live_index.h"
#include "storage/catalog.h"

namespace fovea::engine {

/// An item as the encoder reads it; views must outlive the call only.
struct FreshItem {
  std::uint32_t row = 0;
  const storage::Item* item = nullptr;
};

/// Reading is thread-safe, also beside put() and remove(); those two are called by one thread at a
/// time.
class LiveModel {
 public:
  explicit LiveModel(Version version);

  const VersionCard& card() const { return card_; }
  const ranking::TextSpace& text_space() const { return text_space_; }
  /// Null: too few behaviours to learn from; then there is no item index either.
  const ranking::Model* model() const { return model_ ? &*model_ : nullptr; }
  const index::LiveIndex* item_index() const { return item_index_.get(); }
  const index::LiveIndex& text_index() const { return *text_index_; }
  const ItemVectors& vectors() const { return vectors_; }
  const std::shared_ptr<const Popularity>& popularity() const { return popularity_; }

  /// The same version on a GPU; null: the CPU ranks.
  std::shared_ptr<GpuModel> on_gpu() const;
  /// Why it is not on a GPU that is there; empty where it is, and where there is none.
  std::string off_gpu() const;
  /// Takes up what put() and remove() keep in step from now on, or with null gives it back.
  void move_to_gpu(std::shared_ptr<GpuModel> gpu, std::string off_gpu = {});

  /// Encodes items and makes them retrievable; of a row given twice the last counts.
  void put(std::span<const FreshItem> items);
  void remove(std::span<const std::uint32_t> rows);

  /// Puts the items that came after `after_revision` and removes those that are gone.
  void catch_up(const storage::Catalog& catalog, std::uint64_t after_revision);

 private:
  VersionCard card_;
  ranking::TextSpace text_space_;
  std::optional<ranking::Model> model_;
  ItemVectors vectors_;
  std::unique_ptr<index::LiveIndex> item_index_;
  std::unique_ptr<index::LiveIndex> text_index_;
  std::shared_ptr<const Popularity> popularity_;

  mutable std::mutex gpu_mutex_;  // guards what follows, never held while anything is computed
  std::string off_gpu_;
  std::shared_ptr<GpuModel> on_gpu_;  // last: it reads the others
};

}  // namespace fovea::engine
