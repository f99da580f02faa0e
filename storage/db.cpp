// Opening, and what deleting a user takes; recording is record.cpp, files and failures are rocks.
#include "storage/db.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "storage/bytes.h"
#include "storage/state.h"

namespace fovea::storage {

void check_id(std::string_view id, std::string_view what) {
  if (id.empty()) throw std::invalid_argument(fmt::format("the {} is empty", what));
  if (id.size() <= kIdBytesMax) return;
  throw std::invalid_argument(
      fmt::format("the {} that begins with \"{}\" has {} bytes; {} are "
                  "allowed",
                  what, id.substr(0, 40), id.size(), kIdBytesMax));
}

Db::State::State(std::unique_ptr<Rocks> store, const DbOptions& options)
    : rocks(std::move(store)),
      catalog_state(*rocks),
      history_state(*rocks, catalog_state, options.history_events_max),
      exposures_state{*rocks},
      declarations_state{*rocks},
      catalog(catalog_state),
      history(history_state),
      exposures(exposures_state),
      declarations(declarations_state) {}

Db::Db(std::unique_ptr<State> state) : state_(std::move(state)) {}
Db::~Db() = default;

std::unique_ptr<Db> Db::open(const std::filesystem::path& directory, Access access,
                             const DbOptions& options) {
  if (options.history_events_max == 0) {
    throw std::invalid_argument("history_events_max is 0; it must be at least 1");
  }
  return std::unique_ptr<Db>(
      new Db(std::make_unique<State>(Rocks::open(directory, access, options), options)));
}

void Db::delete_user(std::string_view user_id) {
  check_id(user_id, "user id");
  const std::string history = history_key(user_id);
  const std::string details = user_prefix(Tag::kDetails, user_id);
  const std::string exposures = user_prefix(Tag::kExposure, user_id);
  const std::string trials = user_prefix(Tag::kTrial, user_id);
  const std::array ranges{KeyRange{history, history}, KeyRange{details, prefix_end(details)},
                          KeyRange{exposures, prefix_end(exposures)},
                          KeyRange{trials, prefix_end(trials)}};
  {
    const auto held = state_->users.lock({std::string(user_id)});
    rocksdb::WriteBatch batch;
    rocksdb::PinnableSlice value;
    const bool had_history = state_->rocks->get(history, value);
    batch.Delete(history);
    if (had_history) {
      std::string minus_one;
      append_number(minus_one, std::int64_t{-1});
      batch.Merge(std::string(kUsersKey), minus_one);
    }
    for (const auto& [begin, end] : {ranges[1], ranges[2], ranges[3]}) {
      for (Scan scan(*state_->rocks, begin, end); scan.valid(); scan.next()) {
        batch.Delete(rocksdb::Slice(scan.key().data(), scan.key().size()));
      }
    }
    state_->rocks->write(batch);
    state_->rocks->sync();
    if (had_history) --state_->history_state.users;
  }
  // Also for a user that is not there: an erasure that failed half-way is finished this way.
  state_->rocks->erase_traces(ranges);
}

History& Db::history() { return state_->history; }
Catalog& Db::catalog() { return state_->catalog; }
Exposures& Db::exposures() { return state_->exposures; }
Declarations& Db::declarations() { return state_->declarations; }

}  // namespace fovea::storage
