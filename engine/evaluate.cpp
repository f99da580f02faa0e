#include "engine/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "engine/behaviours.h"
#include "engine/dataset.h"
#include "engine/pipeline.h"
#include "ranking/ops.h"

namespace fovea::engine {
namespace {

constexpr std::size_t kTop = 10;
constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

/// Where one way of ranking put the answer of one question, and what it showed above all.
struct Place {
  std::optional<std::size_t> rank;  ///< From 0; absent: not ranked.
  std::vector<std::uint32_t> top;   ///< At most kTop rows, best first.
};

struct Answer {
  Place popular, transitions, retrieval, ranked;
  std::vector<double> scores;  ///< Of ranked.top.
  std::size_t candidates = 0;  ///< Of the ranked stage.
  bool cold = false;
};

/// Rows that are left out of one question's lists.
class Mask {
 public:
  explicit Mask(std::size_t rows) : masked_(rows) {}

  void set(std::span<const std::uint32_t> rows) {
    for (const std::uint32_t row : rows_) masked_[row] = 0;
    rows_.assign(rows.begin(), rows.end());
    std::ranges::sort(rows_);
    rows_.erase(std::ranges::unique(rows_).begin(), rows_.end());
    for (const std::uint32_t row : rows_) masked_[row] = 1;
  }
  bool operator[](std::uint32_t row) const { return masked_[row] != 0; }
  std::span<const std::uint32_t> rows() const { return rows_; }  ///< Each once.

 private:
  std::vector<char> masked_;
  std::vector<std::uint32_t> rows_;
};

/// Every present item by training behaviours, ties by row: a list and the place of each row in it.
class PopularOrder {
 public:
  PopularOrder(std::span<const std::uint32_t> rows, const Popularity& popularity,
               std::size_t rows_all)
      : order_(rows.begin(), rows.end()), place_(rows_all, rows_all) {
    std::ranges::sort(order_, [&](std::uint32_t a, std::uint32_t b) {
      const float of_a = popularity.log_popularity(a);
      const float of_b = popularity.log_popularity(b);
      return of_a != of_b ? of_a > of_b : a < b;
    });
    for (std::size_t i = 0; i < order_.size(); ++i) place_[order_[i]] = i;
  }

  Place place(std::uint32_t target, const Mask& mask) const {
    Place result;
    result.rank = place_[target];
    for (const std::uint32_t row : mask.rows()) {
      if (place_[row] < place_[target]) --*result.rank;
    }
    for (std::size_t i = 0; i < order_.size() && result.top.size() < kTop; ++i) {
      if (!mask[order_[i]]) result.top.push_back(order_[i]);
    }
    return result;
  }

 private:
  std::vector<std::uint32_t> order_;
  std::vector<std::size_t> place_;  // by row; absent ones come last
};

/// Every present item's vector, to be ranked exactly whatever the index is.
class ExactRetrieval {
 public:
  ExactRetrieval(std::span<const std::uint32_t> rows, const LiveModel& model)
      : rows_(rows.begin(), rows.end()), learned_(model.model() != nullptr) {
    width_ = learned_ ? model.vectors().item_width() : model.vectors().text_width();
    vectors_.reserve(rows_.size() * width_);
    constexpr std::size_t kBlock = 4096;  // gather copies texts too, which are not kept
    for (std::size_t begin = 0; begin < rows_.size(); begin += kBlock) {
      const GatheredVectors block = model.vectors().gather(
          std::span(rows_).subspan(begin, std::min(kBlock, rows_.size() - begin)));
      const std::vector<float>& part = learned_ ? block.items : block.texts;
      vectors_.insert(vectors_.end(), part.begin(), part.end());
    }
  }

  std::size_t width() const { return width_; }
  std::size_t items() const { return rows_.size(); }
  /// Empty when nothing is known of the user.
  const std::vector<float>& query(const UserState& user) const {
    return learned_ ? user.hidden : user.mean_text;
  }

  /// `queries` [n, width], `scores` [n, items].
  void score(std::size_t n, std::span<const float> queries, std::span<float> scores) const {
    using ranking::ops::Transpose;
    ranking::ops::gemm(ranking::Context{1}, Transpose::kNo, Transpose::kYes, n, rows_.size(),
                       width_, 1.0F, queries.data(), width_, vectors_.data(), width_, 0.0F,
                       scores.data(), rows_.size());
  }

  Place place(std::uint32_t target, const Mask& mask, std::span<const float> scores) const {
    const auto found = std::ranges::lower_bound(rows_, target);
    const float own = scores[static_cast<std::size_t>(found - rows_.begin())];
    const auto better = [](float a, std::uint32_t row_a, float b, std::uint32_t row_b) {
      return a != b ? a > b : row_a < row_b;
    };
    Place result;
    result.rank = 0;
    std::vector<std::pair<float, std::uint32_t>> top;  // best first
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const std::uint32_t row = rows_[i];
      const bool above = better(scores[i], row, own, target);
      const bool shown =
          top.size() < kTop || better(scores[i], row, top.back().first, top.back().second);
      if ((!above && !shown) || mask[row]) continue;
      if (above) ++*result.rank;
      if (!shown) continue;
      if (top.size() == kTop) top.pop_back();
      const auto at = std::ranges::find_if(top, [&](const auto& other) {
        return better(scores[i], row, other.first, other.second);
      });
      top.insert(at, {scores[i], row});
    }
    for (const auto& [score, row] : top) result.top.push_back(row);
    return result;
  }

 private:
  std::vector<std::uint32_t> rows_;  // ascending
  bool learned_;
  std::size_t width_ = 0;
  std::vector<float> vectors_;  // [rows, width]
};

/// What all questions share.
struct Measure {
  const Snapshot& snapshot;
  const EvaluateOptions& options;
  std::span<const ranking::HeldOut> questions;
  const PopularOrder& popular;
  const ExactRetrieval& retrieval;

  /// Fills `answers` for questions begin .. end - 1.
  void block(std::size_t begin, std::size_t end, Mask& mask, std::span<Answer> answers) const {
    std::vector<float> queries((end - begin) * retrieval.width());
    std::vector<char> known(end - begin);
    for (std::size_t i = begin; i < end; ++i) {
      const std::vector<float> query = ranked(questions[i], answers[i]);
      known[i - begin] = query.empty() ? 0 : 1;
      std::ranges::copy(
          query, queries.begin() + static_cast<std::ptrdiff_t>((i - begin) * retrieval.width()));
    }
    std::vector<float> scores((end - begin) * retrieval.items());
    retrieval.score(end - begin, queries, scores);
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint32_t target = questions[i].target.row;
      mask.set(options.include_seen ? std::vector<std::uint32_t>() : seen(questions[i]));
      answers[i].cold = snapshot.popularity->log_popularity(target) == 0;
      answers[i].popular = popular.place(target, mask);
      answers[i].transitions = transitions(questions[i], mask);
      if (known[i - begin] == 0) continue;
      answers[i].retrieval = retrieval.place(
          target, mask,
          std::span(scores).subspan((i - begin) * retrieval.items(), retrieval.items()));
    }
  }

  /// By transition score alone, ties by row.
  Place transitions(const ranking::HeldOut& question, const Mask& mask) const {
    const ranking::Model* model = snapshot.model->model();
    if (model == nullptr) return {};
    const auto actions = snapshot.db->catalog().actions();
    std::vector<std::uint32_t> newest_first;
    for (auto b = question.history.rbegin(); b != question.history.rend(); ++b) {
      if (action_weight(actions, b->action) > 0) newest_first.push_back(b->row);
    }
    Place result;
    std::size_t place = 0;
    for (const auto& entry : model->transitions().best(newest_first, kAll)) {
      if (mask[entry.row] || !snapshot.db->catalog().present(entry.row)) continue;
      if (entry.row == question.target.row) result.rank = place;
      if (place < kTop) result.top.push_back(entry.row);
      ++place;
    }
    return result;
  }

  static std::vector<std::uint32_t> seen(const ranking::HeldOut& question) {
    std::vector<std::uint32_t> rows;
    rows.reserve(question.history.size());
    for (const ranking::Behaviour& behaviour : question.history) rows.push_back(behaviour.row);
    return rows;
  }

 private:
  /// As served; returns the retrieval query.
  std::vector<float> ranked(const ranking::HeldOut& held_out, Answer& answer) const {
    Question question;
    question.behaviours = held_out.history;
    question.seen = seen(held_out);
    question.include_seen = options.include_seen;
    question.limit = kTop;
    question.now_ms = held_out.target.time_ms;
    const Candidates found = candidates(snapshot, question);
    answer.candidates = found.items.size();
    const Scored scored = rerank(snapshot, question, found);
    const std::vector<std::size_t> order = best(found, scored.scores, found.items.size());
    for (std::size_t place = 0; place < order.size(); ++place) {
      const std::uint32_t row = found.items[order[place]].row;
      if (place < kTop) {
        answer.ranked.top.push_back(row);
        answer.scores.push_back(scored.scores[order[place]]);
      }
      if (row == held_out.target.row) answer.ranked.rank = place;
    }
    return retrieval.query(found.user);
  }
};

/// Leaves out questions that measure nothing: their answer is masked, or was removed meanwhile.
std::vector<ranking::HeldOut> answerable(std::vector<ranking::HeldOut> questions,
                                         std::span<const std::uint32_t> present,
                                         bool include_seen) {
  std::erase_if(questions, [&](const ranking::HeldOut& question) {
    const bool seen = std::ranges::any_of(
        question.history,
        [&](const ranking::Behaviour& behaviour) { return behaviour.row == question.target.row; });
    return (seen && !include_seen) || !std::ranges::binary_search(present, question.target.row);
  });
  return questions;
}

/// What the current version's training held out.
std::vector<ranking::HeldOut> questions_of(storage::Db& db, const VersionCard& card) {
  if (card.split == Split::kNone) {
    throw InvalidRequest(
        "split",
        fmt::format("version {} has learned from everything, so there is nothing to measure on; "
                    "train with the split leave-one-out or time",
                    card.version));
  }
  Dataset dataset = read_dataset(db);
  SplitData parts = split(std::move(dataset.interactions), card.split, dataset.action_weights);
  if (parts.train.users() != card.users || parts.train.behaviours.size() != card.behaviours) {
    // Behaviours recorded since would move the split: what was learned from would be asked for.
    throw InvalidRequest("data", fmt::format("version {} was trained on {} behaviours of {} users "
                                             "and the store would now train on {} "
                                             "of {}; train again before measuring",
                                             card.version, card.behaviours, card.users,
                                             parts.train.behaviours.size(), parts.train.users()));
  }
  return std::move(parts.test);
}

/// Sums up a part of the users.
class Collector {
 public:
  void add(const Answer& answer) {
    ++users_;
    popular_.add(answer.popular.rank, answer.popular.top);
    transitions_.add(answer.transitions.rank, answer.transitions.top);
    retrieval_.add(answer.retrieval.rank, answer.retrieval.top);
    ranked_.add(answer.ranked.rank, answer.ranked.top);
  }
  Stages stages(std::size_t items) const {
    return {users_, popular_.metrics(items), transitions_.metrics(items), retrieval_.metrics(items),
            ranked_.metrics(items)};
  }

 private:
  std::size_t users_ = 0;
  ranking::MetricsCollector popular_, transitions_, retrieval_, ranked_;
};

/// Behaviours before the test item, by which users are told apart; each part ends before the next.
constexpr std::array<std::size_t, 5> kHistoryLengths = {1, 5, 10, 20, 50};

std::size_t part_of_length(std::size_t behaviours) {
  std::size_t part = 0;
  while (part + 1 < kHistoryLengths.size() && behaviours >= kHistoryLengths[part + 1]) ++part;
  return part;
}

Evaluation summary(std::span<const ranking::HeldOut> questions, std::span<const Answer> answers,
                   std::size_t items, const storage::Catalog& catalog) {
  Collector all, cold, tie_free;
  std::array<Collector, kHistoryLengths.size()> lengths;
  Evaluation result;
  std::size_t retrieved = 0;
  std::size_t candidates = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Answer& answer = answers[i];
    const auto& history = questions[i].history;
    all.add(answer);
    if (answer.ranked.rank) ++retrieved;
    candidates += answer.candidates;
    if (answer.cold) cold.add(answer);
    if (!history.empty() &&
        catalog.item_id(questions[i].target.row) < catalog.item_id(history.back().row)) {
      tie_free.add(answer);
    }
    lengths[part_of_length(history.size())].add(answer);
  }
  static_cast<Stages&>(result) = all.stages(items);
  if (!answers.empty()) {
    const auto users = static_cast<double>(answers.size());
    result.candidates_recall = static_cast<double>(retrieved) / users;
    result.candidates_mean = static_cast<double>(candidates) / users;
  }
  result.cold = cold.stages(items);
  result.tie_free = tie_free.stages(items);
  for (std::size_t part = 0; part < lengths.size(); ++part) {
    const Stages stages = lengths[part].stages(items);
    if (stages.users == 0) continue;
    const std::size_t most = part + 1 < kHistoryLengths.size() ? kHistoryLengths[part + 1] - 1 : 0;
    result.history_length.push_back({kHistoryLengths[part], most, stages});
  }
  return result;
}

/// Tells of each user in the order of the questions.
void tell_users(const Snapshot& snapshot, std::span<const ranking::HeldOut> questions,
                std::span<const Answer> answers,
                const std::function<void(const EvaluatedUser&)>& tell) {
  std::vector<std::string> names;
  snapshot.db->history().for_each_user(
      [&](std::string_view user_id, std::span<const storage::Event>) {
        names.emplace_back(user_id);
      });
  const storage::Catalog& catalog = snapshot.db->catalog();
  const auto from_one = [](const Place& place) {
    return place.rank ? std::optional(*place.rank + 1) : std::nullopt;
  };
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Answer& answer = answers[i];
    EvaluatedUser user{names.at(questions[i].user),
                       catalog.item_id(questions[i].target.row),
                       from_one(answer.popular),
                       from_one(answer.transitions),
                       from_one(answer.retrieval),
                       from_one(answer.ranked),
                       {}};
    for (std::size_t k = 0; k < answer.scores.size(); ++k) {
      user.top.emplace_back(catalog.item_id(answer.ranked.top[k]), answer.scores[k]);
    }
    tell(user);
  }
}

}  // namespace

Evaluation evaluate(Engine& engine, const EvaluateOptions& options,
                    const std::function<void(std::size_t done, std::size_t of)>& progress) {
  return evaluate(engine.snapshot(), options, progress);
}

Evaluation evaluate(const Snapshot& snapshot, const EvaluateOptions& options,
                    const std::function<void(std::size_t done, std::size_t of)>& progress) {
  if (!snapshot.model) {
    throw InvalidRequest(
        "data", "nothing has been trained yet; train with the split leave-one-out or time");
  }
  return evaluate(snapshot, questions_of(*snapshot.db, snapshot.model->card()), options, progress);
}

std::vector<ranking::HeldOut> test_questions(storage::Db& db, Split split) {
  Dataset dataset = read_dataset(db);
  return engine::split(std::move(dataset.interactions), split, dataset.action_weights).test;
}

Evaluation evaluate(const Snapshot& snapshot, std::vector<ranking::HeldOut> asked,
                    const EvaluateOptions& options,
                    const std::function<void(std::size_t done, std::size_t of)>& progress) {
  const storage::Catalog& catalog = snapshot.db->catalog();
  const std::uint32_t rows_all = catalog.rows();
  std::vector<std::uint32_t> rows;
  for (std::uint32_t row = 0; row < rows_all; ++row) {
    if (catalog.present(row)) rows.push_back(row);
  }
  const std::vector<ranking::HeldOut> questions =
      answerable(std::move(asked), rows, options.include_seen);
  const PopularOrder popular(rows, *snapshot.popularity, rows_all);
  const ExactRetrieval retrieval(rows, *snapshot.model);
  const Measure measure{snapshot, options, questions, popular, retrieval};

  // The scores of a block of questions over all items stay within a few megabytes.
  constexpr std::size_t kBlockScores = std::size_t{1} << 22;
  const std::size_t block =
      std::clamp<std::size_t>(kBlockScores / std::max<std::size_t>(rows.size(), 1), 1, 64);
  std::vector<Answer> answers(questions.size());
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;  // guards what follows
  std::size_t done = 0;
  std::exception_ptr failure;
  const auto work = [&] {
    Mask mask(rows_all);
    for (;;) {
      const std::size_t begin = next.fetch_add(block);
      if (begin >= questions.size()) return;
      const std::size_t end = std::min(begin + block, questions.size());
      try {
        measure.block(begin, end, mask, answers);
        const std::lock_guard lock(mutex);
        done += end - begin;
        if (progress) progress(done, questions.size());
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
        next = questions.size();
      }
    }
  };
  {
    std::vector<std::jthread> others;
    for (int thread = 1; thread < options.threads; ++thread) others.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  if (options.user) tell_users(snapshot, questions, answers, options.user);
  return summary(questions, answers, rows.size(), catalog);
}

}  // namespace fovea::engine
