// Validation: what a request may contain, checked before anything is read or written.
#include "engine/request.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <cmath>
#include <map>

#include "engine/filter.h"
#include "engine/page_token.h"
#include "storage/keys.h"

namespace fovea::engine {
namespace {

/// The end of year 9999, UTC: later times are a unit gone wrong, and differences of times must not
/// overflow.
constexpr std::int64_t kTimeMsMax = 253'402'300'799'999;
/// Experiments that one request forces.
constexpr std::size_t kForcedVariantsMax = 1000;

std::string join(std::string_view prefix, std::string_view field) {
  return fmt::format("{}{}", prefix, field);
}

std::optional<std::size_t> first_invalid_byte(std::string_view text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  std::size_t at = 0;
  while (at < text.size()) {
    utf8proc_int32_t code_point = 0;
    const auto length =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code_point);
    if (length <= 0) return at;
    at += static_cast<std::size_t>(length);
  }
  return std::nullopt;
}

void validate_text(std::string_view text, std::size_t bytes_max, std::string_view field) {
  if (text.size() > bytes_max) {
    throw InvalidRequest(
        std::string(field),
        fmt::format("{} is {} bytes long; at most {} are allowed", field, text.size(), bytes_max));
  }
  if (const auto at = first_invalid_byte(text)) {
    throw InvalidRequest(std::string(field),
                         fmt::format("{} is not valid UTF-8 at byte {}", field, *at));
  }
}

void validate_number(double value, std::string_view field) {
  if (std::isfinite(value)) return;
  throw InvalidRequest(std::string(field),
                       fmt::format("{} is {}; a finite number is expected", field, value));
}

void validate_count(std::size_t count, std::size_t max, std::string_view field) {
  if (count <= max) return;
  throw InvalidRequest(std::string(field),
                       fmt::format("{} has {} entries; at most {} are allowed", field, count, max));
}

/// What every event has, whoever's it is.
void validate_behaviour(const Event& event, std::string_view prefix) {
  validate_id(event.item_id, join(prefix, "item_id"));
  validate_id(event.action, join(prefix, "action"));
  if (event.time_ms && (*event.time_ms < 0 || *event.time_ms > kTimeMsMax)) {
    const auto field = join(prefix, "time_ms");
    throw InvalidRequest(
        field, fmt::format("{} is {}; milliseconds since 1970, before the year 10000, are expected",
                           field, *event.time_ms));
  }
  if (event.value) validate_number(*event.value, join(prefix, "value"));
  if (event.event_id) validate_id(*event.event_id, join(prefix, "event_id"));
  if (event.request_id) validate_id(*event.request_id, join(prefix, "request_id"));
}

struct AttributeCheck {
  std::string field;

  void operator()(const std::string& text) const { validate_text(text, kTextBytesMax, field); }
  void operator()(double number) const { validate_number(number, field); }
  void operator()(bool) const {}
  void operator()(const std::vector<std::string>& texts) const {
    validate_count(texts.size(), kAttributesMax, field);
    for (const auto& text : texts) validate_text(text, kTextBytesMax, field);
  }
};

void validate_ids(const std::vector<std::string>& ids, std::size_t max, std::string_view field) {
  validate_count(ids.size(), max, field);
  for (std::size_t i = 0; i < ids.size(); ++i) validate_id(ids[i], fmt::format("{}[{}]", field, i));
}

void validate_rules(const RankRequest& request) {
  if (request.filter) Filter::parse(*request.filter, "filter");
  validate_count(request.boosts.size(), kBoostsMax, "boosts");
  for (std::size_t i = 0; i < request.boosts.size(); ++i) {
    Filter::parse(request.boosts[i].filter, fmt::format("boosts[{}].filter", i));
    const double add = request.boosts[i].add;
    if (std::abs(add) <= kBoostMax) continue;  // false for what is no number
    const auto field = fmt::format("boosts[{}].add", i);
    throw InvalidRequest(field, fmt::format("{} is {}; a number from {} to {} is expected", field,
                                            add, -kBoostMax, kBoostMax));
  }
  validate_count(request.pins.size(), kPinsMax, "pins");
  std::map<std::int32_t, std::size_t> positions;
  std::map<std::string_view, std::size_t> pinned;
  for (std::size_t i = 0; i < request.pins.size(); ++i) {
    const Pin& pin = request.pins[i];
    validate_id(pin.item_id, fmt::format("pins[{}].item_id", i));
    const auto field = fmt::format("pins[{}].position", i);
    if (pin.position < 0 || pin.position > kPinPositionMax) {
      throw InvalidRequest(field, fmt::format("{} is {}; 0 to {} is expected", field, pin.position,
                                              kPinPositionMax));
    }
    if (const auto [at, first] = positions.emplace(pin.position, i); !first) {
      throw InvalidRequest(field, fmt::format("{} is {}, where pins[{}] is already", field,
                                              pin.position, at->second));
    }
    if (const auto [at, first] = pinned.emplace(pin.item_id, i); !first) {
      throw InvalidRequest(fmt::format("pins[{}].item_id", i),
                           fmt::format("pins[{}].item_id is '{}', which pins[{}] pins already", i,
                                       pin.item_id, at->second));
    }
  }
  validate_count(request.caps.size(), kCapsMax, "caps");
  for (std::size_t i = 0; i < request.caps.size(); ++i) {
    validate_id(request.caps[i].attribute, fmt::format("caps[{}].attribute", i));
    if (request.caps[i].at_most >= 1) continue;
    const auto field = fmt::format("caps[{}].at_most", i);
    throw InvalidRequest(
        field, fmt::format("{} is {}; 1 or more is expected", field, request.caps[i].at_most));
  }
  if (!(request.diversity >= 0 && request.diversity <= 1)) {
    throw InvalidRequest("diversity",
                         fmt::format("diversity is {}; 0 to 1 is expected", request.diversity));
  }
}

}  // namespace

void validate_id(std::string_view id, std::string_view field) {
  if (id.empty()) {
    throw InvalidRequest(std::string(field),
                         fmt::format("{} is missing or empty; 1 to {} bytes are expected", field,
                                     storage::kIdBytesMax));
  }
  validate_text(id, storage::kIdBytesMax, field);
}

void validate(const Event& event, std::string_view prefix) {
  validate_id(event.user_id, join(prefix, "user_id"));
  validate_behaviour(event, prefix);
}

void validate(const Item& item, std::string_view prefix) {
  validate_id(item.item_id, join(prefix, "item_id"));
  if (item.text) validate_text(*item.text, kTextBytesMax, join(prefix, "text"));
  validate_count(item.attributes.size(), kAttributesMax, join(prefix, "attributes"));
  for (const auto& [name, value] : item.attributes) {
    validate_id(name, join(prefix, "attributes"));
    std::visit(AttributeCheck{fmt::format("{}attributes.{}", prefix, name)}, value);
  }
  if (item.embedding) {
    const auto field = join(prefix, "embedding");
    validate_count(item.embedding->size(), kEmbeddingWidthMax, field);
    if (item.embedding->empty()) {
      throw InvalidRequest(field, fmt::format("{} is empty; leave it out instead", field));
    }
    for (const float value : *item.embedding) validate_number(value, field);
  }
}

void validate(const RankRequest& request) {
  if (!request.user_id && request.session.empty() && !request.query && request.seed_items.empty() &&
      !request.candidates) {
    throw InvalidRequest("user_id",
                         "there is nothing to rank by; set at least one of user_id, session, "
                         "query, seed_items and candidates");
  }
  if (request.limit < 1 || request.limit > kLimitMax) {
    throw InvalidRequest("limit",
                         fmt::format("limit is {}; 1 to {} is expected", request.limit, kLimitMax));
  }
  if (request.user_id) validate_id(*request.user_id, "user_id");
  validate_count(request.session.size(), kSessionEventsMax, "session");
  for (std::size_t i = 0; i < request.session.size(); ++i) {
    const auto prefix = fmt::format("session[{}].", i);
    // Whose session it is need not be known; a visitor without an id has one too.
    if (!request.session[i].user_id.empty()) {
      validate_id(request.session[i].user_id, join(prefix, "user_id"));
    }
    validate_behaviour(request.session[i], prefix);
  }
  if (request.query) {
    if (request.query->empty())
      throw InvalidRequest("query", "query is empty; leave it out instead");
    validate_text(*request.query, kQueryBytesMax, "query");
  }
  validate_ids(request.seed_items, kSeedItemsMax, "seed_items");
  if (request.candidates) validate_ids(*request.candidates, kCandidatesMax, "candidates");
  validate_ids(request.exclude_items, kExcludeItemsMax, "exclude_items");
  validate_rules(request);
  validate_count(request.variants.size(), kForcedVariantsMax, "variants");
  for (const auto& [experiment, variant] : request.variants) {
    validate_id(experiment, "variants");
    validate_id(variant, "variants");
  }
  if (request.page_token) read_page_token(*request.page_token, fingerprint(request));
}

}  // namespace fovea::engine
