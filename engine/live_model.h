// A version that serves: its model and text space, and indexes and vectors that follow the
// catalogue since. Owns the encoding of new items and what is on a GPU of it; when a version is
// loaded or replaced, its indexes are built anew or it moves to a GPU is the engine's decision.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/gpu_model.h"
#include "engine/item_vectors.h"
#include "engine/models.h"
#include "engine/popularity.h"
#include "index/generational_index.h"
#include "storage/catalog.h"

namespace fovea::engine {

/// Thread-safe. Puts and removals of the same item are ordered by the caller.
class LiveModel {
 public:
  explicit LiveModel(Version version, index::RebuildOptions rebuild = {});

  const VersionCard& card() const { return card_; }
  const ranking::TextSpace& text_space() const { return text_space_; }
  /// Null: too few behaviours to learn from; then there is no item index either.
  const ranking::Model* model() const { return model_ ? &*model_ : nullptr; }
  const index::GenerationalIndex* item_index() const { return item_index_.get(); }
  const index::GenerationalIndex& text_index() const { return *text_index_; }
  const ItemVectors& vectors() const { return vectors_; }
  const std::shared_ptr<const Popularity>& popularity() const { return popularity_; }

  /// The same version on a GPU; null: the CPU ranks.
  std::shared_ptr<GpuModel> on_gpu() const;
  /// Why it is not on a GPU that is there; empty where it is, and where there is none.
  std::string off_gpu() const;
  /// What to load a GPU from. Puts from now on are remembered for it.
  GpuSource gpu_source();
  /// Takes up what was loaded from gpu_source(), which put() keeps in step from now on. False where
  /// that is no longer possible: its index was built anew since, or it has no room.
  bool move_to_gpu(std::shared_ptr<GpuModel> gpu);
  /// Gives it back, for this reason.
  void leave_gpu(std::string reason);
  /// Whether it left a GPU only to be loaded again, over another index or with more room, and what
  /// it had there is free by now.
  bool awaits_gpu() const;

  /// Text vectors of items [n, K]. The long part of a put, beside every other call.
  std::vector<float> encode(const ranking::Context& context,
                            std::span<const storage::Item* const> items) const;
  /// Makes items retrievable whose `texts` [n, K] encode() made; of a row given twice the last
  /// counts.
  void put(std::span<const std::uint32_t> rows, std::span<const float> texts);
  void remove(std::span<const std::uint32_t> rows);

  /// Encodes and puts the items that came after `after_revision` and removes those that are gone.
  /// Returns the catalogue's revision before it was read.
  std::uint64_t catch_up(const storage::Catalog& catalog, std::uint64_t after_revision,
                         int threads);

  /// Whether rebuild() would make searches faster.
  bool rebuild_due() const;
  /// Builds anew the indexes for which it is due, as index::GenerationalIndex::rebuild() does, one
  /// after the other: at no time is there more than one of them twice. Leaves the GPU, which was
  /// loaded over the old one. Returns whether any was built.
  bool rebuild(int threads, const std::function<bool()>& go_on);

 private:
  std::unique_ptr<index::GenerationalIndex> live_index(
      std::unique_ptr<const index::VectorIndex> main, ItemVectors::Part part,
      const index::RebuildOptions& rebuild);
  void leave_gpu(std::string reason, bool to_come_back);

  VersionCard card_;
  ranking::TextSpace text_space_;
  std::optional<ranking::Model> model_;
  ItemVectors vectors_;
  std::unique_ptr<index::GenerationalIndex> item_index_;
  std::unique_ptr<index::GenerationalIndex> text_index_;
  std::shared_ptr<const Popularity> popularity_;

  std::mutex putting_;  // one put at a time; none while a GPU is taken up
  std::optional<std::vector<std::uint32_t>> put_since_;   // rows, since gpu_source()
  std::shared_ptr<const index::LiveIndex> source_index_;  // of gpu_source()

  mutable std::mutex gpu_mutex_;  // guards what follows, never held while anything is computed
  std::string off_gpu_;
  bool to_come_back_ = false;
  std::weak_ptr<GpuModel> was_on_gpu_;
  std::shared_ptr<GpuModel> on_gpu_;  // last: it reads the others
};

/// Unit vectors of items [n, width], learned ones where there are any, else of their texts; zeros
/// for an item that has none.
std::vector<float> unit_vectors(const LiveModel& model, std::span<const std::uint32_t> rows);

}  // namespace fovea::engine
