// What a training may go on from: a version, or the state of a training that was killed. Owns the
// rules; the recipe is ranking's, the files are models' and checkpoint's.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "engine/checkpoint.h"
#include "engine/models.h"
#include "engine/split.h"
#include "ranking/trainer.h"

namespace fovea::engine {

/// The version to go on from, by name or as "CURRENT". What it has learned must not be held out
/// now, and its arrays must have the shapes that the options ask for: InvalidRequest otherwise.
Version load_base(const Versions& versions, const std::string& from, Split split,
                  const ranking::TrainOptions& options);

/// What can be told only once the store is read: the same, of `parts` and of the items' embeddings.
void check_base(const Version& version, Split split, const SplitData& parts,
                std::optional<std::size_t> embedding_width);

/// What must be equal for a killed training to be taken up: all that its bytes depend on.
/// `encoder`: "lsa", or EncoderFiles::id().
Checkpoint::Identity identity(const VersionCard& card, const ranking::TrainOptions& options,
                              const ranking::TrainData& data, const std::string& encoder);

}  // namespace fovea::engine
