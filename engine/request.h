// What goes into and comes out of the engine: the wire contract as plain structs, and the caller's
// mistakes. Owns the shapes and their validation; api/handler turns wire structs into these and
// back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/deadline.h"
#include "storage/catalog.h"

namespace fovea::engine {

using Item = storage::Item;

/// The caller's mistake. `field` is the wire name of the offending field, such as "limit" or
/// "events[3].item_id"; what() is one sentence that says what is wrong and what would be right.
struct InvalidRequest : std::runtime_error {
  InvalidRequest(std::string field_name, const std::string& message)
      : std::runtime_error(message), field(std::move(field_name)) {}
  std::string field;
};

/// The answer was due before it was begun; what() says so. Trying again may help.
struct DeadlinePassed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The engine cannot answer now and the caller is not to blame; what() says why.
struct Unavailable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Event {
  std::string user_id;
  std::string item_id;
  std::string action;
  std::optional<std::int64_t> time_ms;  ///< Absent: when the engine received it.
  std::optional<double> value;
  std::optional<std::string> event_id;
  std::optional<std::string> request_id;
};

/// Added to the score of every candidate that matches; negative buries.
struct Boost {
  std::string filter;  ///< engine/filter.h
  double add = 0;
  bool operator==(const Boost&) const = default;
};

/// Shows the item at this place, counted from 0 over all pages.
struct Pin {
  std::string item_id;
  std::int32_t position = 0;
};

/// At most this many items of a page share one value of the attribute.
struct Cap {
  std::string attribute;
  std::int32_t at_most = 0;
};

struct RankRequest {
  std::optional<std::string> user_id;
  std::vector<Event> session;
  std::optional<std::string> query;
  std::vector<std::string> seed_items;
  std::optional<std::vector<std::string>>
      candidates;  ///< Present but empty: an empty list is ranked.
  std::int32_t limit = 20;
  std::vector<std::string> exclude_items;
  bool include_seen = false;
  bool explain = false;
  std::optional<std::string> filter;
  std::vector<Boost> boosts;
  std::vector<Pin> pins;
  std::vector<Cap> caps;
  double diversity = 0;  ///< 0: by score alone, to 1.
  std::optional<std::string> page_token;
  Deadline deadline;  ///< Where it comes near, the list is in the order of retrieval.
  /// Experiment to variant: served by it whoever asks, and without a trial being written.
  std::map<std::string, std::string> variants;
  bool preview = false;  ///< Nobody is shown the list: no exposure of it is written, and no trial.
};

struct Attention {
  std::string item_id;
  std::string action;
  std::int64_t time_ms = 0;
  double weight = 0;
};

struct Explanation {
  std::vector<Attention> attention;
  std::map<std::string, double> parts;
  std::vector<std::string> rules;
  std::optional<std::int32_t> rank_without_top_event;
  /// The query's words that the item's text and searched attributes have, as they stand there, in
  /// their order, each once: at most 64, none of more than 256 bytes. Absent: there is no query.
  std::optional<std::vector<std::string>> matched_words;
  /// Cosine of the item's text to the query. Absent: there is no query, or one of the two says
  /// nothing to the version that serves.
  std::optional<double> similarity;
};

struct RankedItem {
  std::string item_id;
  double score = 0;
  std::string source;
  std::optional<Explanation> explanation;
};

struct RankResponse {
  std::string request_id;
  std::vector<RankedItem> items;
  std::string model_version;
  bool degraded = false;
  std::optional<std::string> degraded_reason;
  std::map<std::string, std::string> variants;  ///< Experiment to the variant that served this.
  std::map<std::string, std::int64_t> stage_us;
  std::optional<std::string> next_page_token;   ///< Absent: there is nothing more to show.
  std::vector<std::string> unknown_candidates;  ///< Of RankRequest::candidates, in their order.
  /// The query as it was searched for, where words that no text has were corrected. Absent: as
  /// asked.
  std::optional<std::string> corrected_query;
};

struct Status {
  std::string version;
  std::string model_version;  ///< Empty: no model yet.
  std::string device;
  std::int64_t items = 0;
  std::int64_t users = 0;
  std::int64_t uptime_ms = 0;
  bool ready = false;
  std::string faiss;
};

// Limits of one request; beyond them InvalidRequest names the field.
inline constexpr std::int32_t kLimitMax = 1000;
inline constexpr std::size_t kSessionEventsMax = 1000;
inline constexpr std::size_t kSeedItemsMax = 100;
inline constexpr std::size_t kCandidatesMax = 10'000;
inline constexpr std::size_t kExcludeItemsMax = 10'000;
inline constexpr std::size_t kBoostsMax = 32;
inline constexpr std::size_t kPinsMax = 100;
inline constexpr std::size_t kCapsMax = 8;
inline constexpr std::int32_t kPinPositionMax = 9'999;
inline constexpr double kBoostMax = 1e6;
inline constexpr std::size_t kEventsPerRecordMax = 10'000;
inline constexpr std::size_t kItemsPerPutMax = 10'000;
inline constexpr std::size_t kQueryBytesMax = 8'192;
inline constexpr std::size_t kTextBytesMax = 65'536;
inline constexpr std::size_t kAttributesMax = 256;
inline constexpr std::size_t kEmbeddingWidthMax = 4'096;
inline constexpr std::size_t kRequestsPerCallMax = 1000;

/// Throw InvalidRequest on: a missing or empty id, an id over storage::kIdBytesMax, invalid UTF-8,
/// a NaN or infinity, a time before 1970 or after 9999, a limit outside 1 .. kLimitMax, a list over
/// its maximum, nothing to rank by, a filter or page token that cannot be read, rules that
/// contradict each other. `prefix` leads the field's name, such as "events[3].".
void validate(const Event& event, std::string_view prefix);
void validate(const Item& item, std::string_view prefix);
void validate(const RankRequest& request);
void validate_id(std::string_view id, std::string_view field);

}  // namespace fovea::engine
