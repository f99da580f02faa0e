// Whether a version that was just trained may serve. Owns the rule; what is measured is evaluate's,
// and what becomes of a version that may not is learning's.
//
// With a split: through the code of evaluate, on what the split holds out, its NDCG@10 must be
// above that of the most popular items, and not below that of the version which serves by more than
// 2 % or two standard errors of the users' differences, whichever is more: within that the fresher
// one wins. Where the one that serves was trained with another split, both are asked only for what
// came after all that it has learned.
//
// Without one nothing is held out from the version itself. Its recipe, though, was validated on
// behaviours that its encoder and ranker had not learned yet: that figure must not be below that of
// the most popular items on the same questions, nor below the one in the card of the version that
// serves, by more than so few questions leave to chance.
#pragma once

#include <map>
#include <stdexcept>
#include <string>

#include "engine/models.h"
#include "storage/db.h"

namespace fovea::engine {

/// A version was trained and does not serve: it is worse than what does. The message has both
/// figures.
struct NotPublished : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Judgement {
  bool passed = true;
  std::string figures;                    ///< What was compared, or why nothing was. One line.
  std::map<std::string, double> metrics;  ///< For the card: "test_ndcg@10" and "test_popular_..".
};

/// `db` must be the store as the draft was trained on it, so that the split is the same. Throws
/// VersionError when the draft itself cannot be loaded; where the version that serves cannot, the
/// draft is compared with popularity alone.
Judgement judge(storage::Db& db, const Versions& versions, const Draft& draft, int threads);

}  // namespace fovea::engine
