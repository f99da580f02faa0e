// The texts of items that are about to be put, as each version in memory reads them. Owns which of
// them have to be encoded: a sentence encoder takes a tenth of a second for a long text, and most
// items that are put again have the text that they had. Which lock is held meanwhile is
// live_versions' decision.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "engine/live_model.h"
#include "ranking/context.h"
#include "storage/catalog.h"

namespace fovea::engine {

/// One put. One thread at a time; what it is made of must outlive it.
class EncodedItems {
 public:
  /// Encodes as `context` says, on the CPU.
  EncodedItems(const storage::Catalog& catalog, std::span<const storage::Item> items,
               const ranking::Context& context)
      : catalog_(catalog), items_(items), context_(context) {}

  /// Encodes for `model` what it has not been encoded for yet and the model does not know: by a
  /// sentence encoder, the same text of the same item. The long part; needs no lock.
  void encode(const std::shared_ptr<const LiveModel>& model);

  /// Takes what the model knows, while the catalogue does not change. False: that is less than when
  /// encode() was called, or it never was, and has to be again.
  bool settle(const std::shared_ptr<const LiveModel>& model);

  /// Text vectors [n, K] by a model for which settle() was true last.
  std::span<const float> texts(const LiveModel& model) const;

 private:
  struct Version {
    std::shared_ptr<const LiveModel> model;
    std::vector<float> texts;   // [n, K]
    std::vector<bool> encoded;  // [n]
  };
  Version& of(const std::shared_ptr<const LiveModel>& model);
  bool take_known(Version& version, std::size_t i) const;

  const storage::Catalog& catalog_;
  std::span<const storage::Item> items_;
  ranking::Context context_;
  std::vector<Version> versions_;
};

}  // namespace fovea::engine
