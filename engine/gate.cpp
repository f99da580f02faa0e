#include "engine/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/attributes.h"
#include "engine/evaluate.h"
#include "engine/live_model.h"
#include "engine/pipeline.h"

namespace fovea::engine {
namespace {

constexpr double kShareMin = 0.98;     // of the serving version's figure
constexpr double kStandardErrors = 2;  // that chance may make
constexpr const char* kValidation = "validation_ranker_ndcg@10";
constexpr const char* kValidationPopular = "validation_popular_ndcg@10";
constexpr const char* kQuestions = "validation_ranker_questions";

struct Measured {
  Evaluation all;
  std::unordered_map<std::string, double> ndcg_10;  ///< By user, who has one question.
};

/// As `fovea evaluate` would, had the version been published.
Measured measure(storage::Db& db, Version version, std::vector<ranking::HeldOut> questions,
                 int threads) {
  const auto live = std::make_shared<LiveModel>(std::move(version));
  live->catch_up(db.catalog(), live->card().catalog_revision, threads);
  const Attributes attributes;  // no request here has rules
  const std::set<std::string> not_seen;
  Snapshot snapshot;
  snapshot.db = &db;
  snapshot.attributes = &attributes;
  snapshot.not_seen = &not_seen;
  snapshot.model = live;
  snapshot.popularity = live->popularity();
  snapshot.fallback = snapshot.popularity;

  Measured result;
  EvaluateOptions options;
  options.threads = threads;
  options.user = [&](const EvaluatedUser& user) {
    const bool shown = user.ranked && *user.ranked <= 10;
    result.ndcg_10[user.user_id] = shown ? 1 / std::log2(static_cast<double>(*user.ranked) + 1) : 0;
  };
  result.all = evaluate(snapshot, std::move(questions), options, {});
  return result;
}

struct Paired {
  std::size_t users = 0;
  double mine = 0, theirs = 0;  ///< Mean NDCG@10.
  double standard_error = 0;    ///< Of the mean difference.
};

/// Over the users of `theirs`, all of whom `mine` has.
Paired paired(const Measured& mine, const Measured& theirs) {
  Paired result;
  double squares = 0;
  for (const auto& [user, ndcg_10] : theirs.ndcg_10) {
    const double own = mine.ndcg_10.at(user);
    ++result.users;
    result.mine += own;
    result.theirs += ndcg_10;
    squares += (own - ndcg_10) * (own - ndcg_10);
  }
  if (result.users == 0) return result;
  const auto n = static_cast<double>(result.users);
  result.mine /= n;
  result.theirs /= n;
  const double mean = result.mine - result.theirs;
  result.standard_error = std::sqrt(std::max(squares / n - mean * mean, 0.0) / n);
  return result;
}

/// The version that serves, unless none does that can be loaded.
std::optional<Version> serving(const Versions& versions) {
  try {
    const auto current = versions.current();
    if (!current) return std::nullopt;
    return versions.load(*current);
  } catch (const VersionError&) {
    return std::nullopt;  // servers refuse it too: there is nothing to be better than
  }
}

Judgement by_split(storage::Db& db, std::optional<Version> old, const Draft& draft, int threads) {
  const VersionCard& card = draft.card();
  std::vector<ranking::HeldOut> questions = test_questions(db, card.split);
  const Measured mine = measure(db, draft.load(), questions, threads);
  Judgement result;
  if (mine.all.users == 0) {
    result.figures = "not compared: the split holds out no user's behaviour";
    return result;
  }
  const double ndcg_10 = mine.all.ranked.ndcg_10;
  const double popular = mine.all.popular.ndcg_10;
  result.metrics = {{"test_ndcg@10", ndcg_10}, {"test_popular_ndcg@10", popular}};
  result.passed = ndcg_10 > popular;
  result.figures = fmt::format("ndcg@10 {:.4f} of {} users' held-out behaviours, popular {:.4f}",
                               ndcg_10, mine.all.users, popular);
  if (!old) return result;

  const std::string name = old->card.version;
  const bool other_split = old->card.split != card.split;
  if (other_split) {
    std::erase_if(questions, [&](const ranking::HeldOut& question) {
      return question.target.time_ms <= old->card.newest_ms;
    });
  }
  const Paired both = paired(mine, measure(db, std::move(*old), std::move(questions), threads));
  if (both.users == 0) {
    result.figures += fmt::format(", version {} has learned them all", name);
    return result;
  }
  const double tolerated =
      std::max((1 - kShareMin) * both.theirs, kStandardErrors * both.standard_error);
  result.passed = result.passed && both.mine >= both.theirs - tolerated;
  result.figures += fmt::format(", version {}, which serves, {:.4f}", name, both.theirs);
  if (other_split) {
    result.figures += fmt::format(" against {:.4f} of {} users whose behaviour it has not learned",
                                  both.mine, both.users);
  }
  return result;
}

double value(const VersionCard& card, const char* name) {
  const auto found = card.metrics.find(name);
  return found == card.metrics.end() ? 0 : found->second;
}

Judgement by_validation(const VersionCard* old, const VersionCard& card) {
  Judgement result;
  const double questions = value(card, kQuestions);
  if (questions == 0) {
    result.figures =
        "not compared: all was learned from (--split none), and no ranker was validated";
    return result;
  }
  const double ndcg_10 = value(card, kValidation);
  const double popular = value(card, kValidationPopular);
  // A question's figure lies in 0 .. 1, so that its deviation is at most a half.
  const auto chance = [&](double other) {
    return kStandardErrors * 0.5 * std::sqrt(1 / questions + other);
  };
  result.passed = ndcg_10 >= popular - chance(0);
  result.figures = fmt::format("validation ndcg@10 {:.4f} of {} behaviours, popular {:.4f}",
                               ndcg_10, questions, popular);
  const double old_questions = old == nullptr ? 0 : value(*old, kQuestions);
  if (old_questions == 0) return result;
  const double had = value(*old, kValidation);
  const double tolerated = std::max((1 - kShareMin) * had, chance(1 / old_questions));
  result.passed = result.passed && ndcg_10 >= had - tolerated;
  result.figures += fmt::format(", version {}, which serves, had {:.4f}", old->version, had);
  return result;
}

}  // namespace

Judgement judge(storage::Db& db, const Versions& versions, const Draft& draft, int threads) {
  std::optional<Version> old = serving(versions);
  if (draft.card().split != Split::kNone) return by_split(db, std::move(old), draft, threads);
  return by_validation(old ? &old->card : nullptr, draft.card());
}

}  // namespace fovea::engine
