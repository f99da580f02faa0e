// The four steps of a ranking: history, candidates, rerank, respond. rank() calls them in this
// order. Owns what passes between the steps and the first and last of them; candidates.cpp and
// rerank.cpp hold the others. Everything works on rows of one Snapshot, so that a swap of versions
// cannot fall into the middle of a request. What experiments set is applied here; who is in which,
// and what is written down of it, is engine/trials'. evaluate builds its own Question, from a
// history it holds out of, and calls candidates(), rerank() and best().
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/attributes.h"
#include "engine/experiments.h"
#include "engine/filter.h"
#include "engine/fusion.h"
#include "engine/live_model.h"
#include "engine/request.h"
#include "index/row_set.h"
#include "index/vector_index.h"
#include "ranking/interactions.h"
#include "storage/db.h"

namespace fovea::engine {

class Gpu;
class SearchedText;

/// What one ranking reads. Cheap to copy; Engine::snapshot() gives the current one.
struct Snapshot {
  storage::Db* db = nullptr;               ///< Never null. Not owned.
  const Attributes* attributes = nullptr;  ///< Of the catalogue. Never null. Not owned.
  /// The catalogue's texts. Null: of a query only vectors are searched. Not owned.
  const SearchedText* searched = nullptr;
  FusionWeights fusion;        ///< Of words and vectors.
  double query_attention = 0;  ///< What a query weighs in attention (SearchOptions).
  /// Actions that leave an item unseen. Never null. Not owned.
  const std::set<std::string>* not_seen = nullptr;
  Gpu* gpu = nullptr;                            ///< Null: the CPU ranks. Not owned.
  std::shared_ptr<const LiveModel> model;        ///< Null: no version yet.
  std::shared_ptr<const Popularity> popularity;  ///< As the version counts. Never null.
  std::shared_ptr<const Popularity> fallback;    ///< What lists are filled up with. Never null.
  /// What behaviours since the version add to its transitions; null: nothing.
  std::shared_ptr<const ranking::Transitions> fresh_transitions;
  std::size_t retrieve = 500;  ///< Candidates taken from all sources together.
  bool exact_search = false;   ///< Every vector is compared, also where an index reads only some.
};

/// A request after the history step: names have become rows of present items.
struct Question {
  /// Oldest first: stored, session, seeds. Not cut to the model's length. Actions are storage's
  /// index + 1.
  std::vector<ranking::Behaviour> behaviours;
  /// Those of the newest whose action is negative, newest first. One whose action the version has
  /// not learned is not among `behaviours`, where it would count as interest.
  struct Dislike {
    ranking::Behaviour behaviour;
    double weight = 0;  ///< Of its action, below 0.
  };
  std::vector<Dislike> disliked;
  std::vector<std::uint32_t> seen;  ///< Left out unless include_seen.
  std::vector<std::uint32_t> seeds;
  std::vector<std::uint32_t> excluded;
  std::optional<std::string> query;
  std::optional<std::vector<std::uint32_t>> candidates;  ///< Absent: retrieve them.
  std::size_t limit = 20;
  bool include_seen = false;
  bool explain = false;
  bool ranker = true;  ///< False: in the order of retrieval, but for boosts.
  std::int64_t now_ms = 0;
  Deadline deadline;

  std::optional<index::RowSet> allowed;  ///< What the filter leaves; absent: no filter.
  struct ParsedBoost {
    Filter filter;
    double add = 0;
  };
  std::vector<ParsedBoost> boosts;
  struct PinnedRow {
    std::uint32_t row = 0;
    std::size_t position = 0;  ///< Over all pages.
  };
  std::vector<PinnedRow> pins;  ///< Of items that may be shown, seen or not.
  std::vector<Cap> caps;
  double diversity = 0;
  std::vector<std::uint32_t> shown;  ///< On the pages before, ascending.
  std::uint64_t fingerprint = 0;     ///< For the next page's token.
  std::vector<std::string> unknown_candidates;
};

/// What the version makes of a user's behaviours. Legend as in ranking/model.h.
struct UserState {
  // With a learned model and at least one behaviour; empty otherwise.
  std::vector<ranking::Behaviour>
      behaviours;                           ///< [L], the newest that the model reads, oldest first
  std::vector<ranking::Behaviour> earlier;  ///< before those, oldest first
  GatheredVectors vectors;                  ///< of those [L]
  std::vector<float> bias;                  ///< [L], what the query adds to attention, or empty
  std::vector<float> hidden;                ///< [D], the retrieval query
  std::vector<index::Neighbour> nearest;  ///< best first, over everything retrievable, seen or not
  float centre = 0;                       ///< mean score of the first centre_k() of those
  // Where a GPU ranked; empty otherwise:
  std::vector<float> nearest_scores;  ///< of `nearest`, as rerank() would give them
  std::vector<float> other_scores;    ///< of the rows that user_state() was asked to score
  /// Why the GPU that is there did not rank; empty: it did, or there is none.
  std::string off_gpu;
  // Without a learned model: the unit mean of the behaviours' texts [K]; empty where there is none.
  std::vector<float> mean_text;
};

/// Reads behaviours, oldest first, with the snapshot's version. `nearest` holds at least
/// `nearest_min` rows where that many are retrievable. A GPU scores these and `others` with it.
/// `query` is Candidates::query.
UserState user_state(const Snapshot& snapshot, std::span<const ranking::Behaviour> behaviours,
                     std::size_t nearest_min, std::span<const std::uint32_t> others = {},
                     std::span<const float> query = {});

struct Candidate {
  std::uint32_t row = 0;
  std::string_view source;     ///< "words", "vectors", "popular", "candidate", "pin"; a literal.
  std::optional<float> score;  ///< Of the learned model, where a GPU gave it with the state.
  Relevance relevance = {};    ///< To the query.
};

struct Candidates {
  std::vector<Candidate> items;  ///< Distinct rows of present items.
  UserState user;
  bool query_found = false;  ///< There is a query, and words or vectors found something for it.
  /// What was searched for in place of the query, which has words that no text has.
  std::optional<std::string> corrected_query;
  /// Unit vector of what was searched for [K], for attention and explanations; empty: neither
  /// reads it, no query, or none the version knows.
  std::vector<float> query;
};

/// Scores in the order of the candidates.
struct Scored {
  std::vector<double> scores;  ///< [N]
  /// There was no time: the scores only count down, in the order of the candidates.
  bool out_of_time = false;
  // Empty unless asked to explain:
  std::vector<std::vector<std::pair<std::string_view, double>>>
      parts;  ///< [N], each adds up to its score
  std::vector<float>
      attention;  ///< [N, L] over UserState::behaviours; empty without a learned model too.
};

/// Step 1. Of what is stored only behaviours before `before_ms` are read; absent: all. Throws
/// InvalidRequest for a session action that is not declared, and for a page token or a filter that
/// cannot be read.
Question history(const Snapshot& snapshot, const RankRequest& request, std::int64_t now_ms,
                 std::optional<std::int64_t> before_ms = {});

/// Step 2. Enough for `limit` places under the request's caps, unless the catalogue has fewer that
/// may be shown or the request names its candidates. Nothing that may not be shown.
Candidates candidates(const Snapshot& snapshot, const Question& question);

/// What a query finds of the rows in `allowed` (null: all), most relevant first, at most n
/// (engine/query_search.h).
std::vector<Relevant> search(const Snapshot& snapshot, std::string_view query, std::size_t n,
                             const index::RowSet* allowed = nullptr);

/// Of relevance, against the spread of the model's scores, a few units: a tenth less of the best
/// score of words and of vectors is two units, so that taste moves an item by some places; having
/// the query as it was typed is worth 20. On judged queries of users who are known 20 was worse and
/// 5 better here, worse there (BENCHMARKS.md).
inline constexpr double kRelevanceWeight = 10;

/// Step 3. An item's score depends on the user, on its scores beside the best that the query found
/// of all that the filter leaves and on the time, not on the other candidates; where the deadline
/// comes near before all are scored, on its place among them.
Scored rerank(const Snapshot& snapshot, const Question& question, const Candidates& candidates);

/// The positions in `candidates` of the n best, best first, ties by row.
std::vector<std::size_t> best(const Candidates& candidates, std::span<const double> scores,
                              std::size_t n);

/// Step 4: the order by score and rules, names, explanations, the next page, the request's id.
RankResponse respond(const Snapshot& snapshot, const Question& question,
                     const Candidates& candidates, const Scored& scored);

struct Ranking {
  Question question;
  RankResponse response;
};

/// All four, as `set` says; its model_version is the snapshot's already. The request must be valid.
/// Throws DeadlinePassed where the answer is due already.
Ranking rank(const Snapshot& snapshot, const RankRequest& request, std::int64_t now_ms,
             const Overrides& set = {});

}  // namespace fovea::engine
