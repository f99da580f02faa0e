// Field by field. A field that is new in the contract is carried here.
#include "api/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace fovea::api {
namespace {

constexpr std::size_t kTraceparentBytesMax = 512;
constexpr std::int32_t kDeadlineMsMax = 60'000;

void check_deadline(std::int32_t deadline_ms) {
  if (deadline_ms >= 1 && deadline_ms <= kDeadlineMsMax) return;
  throw engine::InvalidRequest("deadline_ms", fmt::format("deadline_ms is {}; 1 to {} are allowed",
                                                          deadline_ms, kDeadlineMsMax));
}

/// It ends up in logs: short, and without line ends.
void check_traceparent(const std::string& traceparent) {
  if (traceparent.size() > kTraceparentBytesMax) {
    throw engine::InvalidRequest("traceparent",
                                 fmt::format("traceparent is {} bytes long; at most {} are allowed",
                                             traceparent.size(), kTraceparentBytesMax));
  }
  if (!std::all_of(traceparent.begin(), traceparent.end(),
                   [](char c) { return c > ' ' && c <= '~'; })) {
    throw engine::InvalidRequest(
        "traceparent",
        "traceparent holds a byte that is not printable ASCII; a W3C trace context "
        "is expected");
  }
}

storage::AttributeValue from_wire(const Value& value, const std::string& name,
                                  std::string_view prefix) {
  const auto& set = value.__isset;
  if (set.text + set.number + set.flag + set.texts != 1) {
    const auto field = fmt::format("{}attributes", prefix);
    engine::validate_id(name, field);
    throw engine::InvalidRequest(field,
                                 fmt::format("attribute '{}' holds {} values; exactly one "
                                             "of text, number, flag and texts is expected",
                                             name, set.text + set.number + set.flag + set.texts));
  }
  if (set.text) return value.text;
  if (set.number) return value.number;
  if (set.flag) return value.flag;
  return value.texts;
}

struct ToValue {
  Value operator()(std::string&& text) const {
    Value value;
    value.__set_text(text);
    return value;
  }
  Value operator()(double number) const {
    Value value;
    value.__set_number(number);
    return value;
  }
  Value operator()(bool flag) const {
    Value value;
    value.__set_flag(flag);
    return value;
  }
  Value operator()(std::vector<std::string>&& texts) const {
    Value value;
    value.__set_texts(texts);
    return value;
  }
};

Explanation to_wire(engine::Explanation&& explanation) {
  Explanation wire;
  wire.attention.reserve(explanation.attention.size());
  for (auto& behaviour : explanation.attention) {
    auto& attention = wire.attention.emplace_back();
    attention.item_id = std::move(behaviour.item_id);
    attention.action = std::move(behaviour.action);
    attention.time_ms = behaviour.time_ms;
    attention.weight = behaviour.weight;
  }
  wire.parts = std::move(explanation.parts);
  wire.rules = std::move(explanation.rules);
  if (explanation.rank_without_top_event) {
    wire.__set_rank_without_top_event(*explanation.rank_without_top_event);
  }
  if (explanation.matched_words) wire.__set_matched_words(*explanation.matched_words);
  if (explanation.similarity) wire.__set_similarity(*explanation.similarity);
  return wire;
}

}  // namespace

engine::Item from_wire(const Item& item, std::string_view prefix) {
  engine::Item result;
  result.item_id = item.item_id;
  if (item.__isset.text) result.text = item.text;
  if (item.__isset.attributes) {
    for (const auto& [name, value] : item.attributes) {
      result.attributes.emplace(name, from_wire(value, name, prefix));
    }
  }
  if (item.__isset.embedding) {
    auto& embedding = result.embedding.emplace();
    embedding.reserve(item.embedding.size());
    for (const double value : item.embedding) embedding.push_back(static_cast<float>(value));
  }
  return result;
}

engine::Event from_wire(const Event& event) {
  engine::Event result;
  result.user_id = event.user_id;
  result.item_id = event.item_id;
  result.action = event.action;
  if (event.__isset.time_ms) result.time_ms = event.time_ms;
  if (event.__isset.value) result.value = event.value;
  if (event.__isset.event_id) result.event_id = event.event_id;
  if (event.__isset.request_id) result.request_id = event.request_id;
  return result;
}

engine::RankRequest from_wire(const RankRequest& request) {
  if (request.__isset.deadline_ms) check_deadline(request.deadline_ms);
  if (request.__isset.traceparent) check_traceparent(request.traceparent);
  engine::RankRequest result;
  if (request.__isset.user_id) result.user_id = request.user_id;
  if (request.__isset.session) {
    result.session.reserve(request.session.size());
    for (const Event& event : request.session) result.session.push_back(from_wire(event));
  }
  if (request.__isset.query) result.query = request.query;
  if (request.__isset.seed_items) result.seed_items = request.seed_items;
  if (request.__isset.candidates) result.candidates = request.candidates;
  result.limit = request.limit;  // the contract's default where it is not set
  if (request.__isset.exclude_items) result.exclude_items = request.exclude_items;
  result.include_seen = request.include_seen;
  result.explain = request.explain;
  if (request.__isset.filter && !request.filter.empty()) result.filter = request.filter;
  for (const Boost& boost : request.boosts) result.boosts.push_back({boost.filter, boost.add});
  for (const Pin& pin : request.pins) result.pins.push_back({pin.item_id, pin.position});
  for (const Cap& cap : request.caps) result.caps.push_back({cap.attribute, cap.at_most});
  result.diversity = request.diversity;
  if (request.__isset.page_token && !request.page_token.empty()) {
    result.page_token = request.page_token;
  }
  result.variants = request.variants;
  result.preview = request.preview;
  return result;
}

Item to_wire(engine::Item&& item) {
  Item wire;
  wire.item_id = std::move(item.item_id);
  if (item.text) wire.__set_text(*item.text);
  if (!item.attributes.empty()) {
    wire.__isset.attributes = true;
    for (auto& [name, value] : item.attributes) {
      wire.attributes.emplace(name, std::visit(ToValue(), std::move(value)));
    }
  }
  if (item.embedding) {
    wire.__isset.embedding = true;
    wire.embedding.assign(item.embedding->begin(), item.embedding->end());
  }
  return wire;
}

Event to_wire(engine::Event&& event) {
  Event wire;
  wire.user_id = std::move(event.user_id);
  wire.item_id = std::move(event.item_id);
  wire.action = std::move(event.action);
  if (event.time_ms) wire.__set_time_ms(*event.time_ms);
  if (event.value) wire.__set_value(*event.value);
  if (event.event_id) wire.__set_event_id(*event.event_id);
  if (event.request_id) wire.__set_request_id(*event.request_id);
  return wire;
}

RankResponse to_wire(engine::RankResponse&& response) {
  RankResponse wire;
  wire.request_id = std::move(response.request_id);
  wire.items.reserve(response.items.size());
  for (auto& ranked : response.items) {
    auto& item = wire.items.emplace_back();
    item.item_id = std::move(ranked.item_id);
    item.score = ranked.score;
    item.source = std::move(ranked.source);
    if (ranked.explanation) item.__set_explanation(to_wire(std::move(*ranked.explanation)));
  }
  wire.model_version = std::move(response.model_version);
  wire.degraded = response.degraded;
  if (response.degraded_reason) wire.__set_degraded_reason(*response.degraded_reason);
  wire.variants = std::move(response.variants);
  wire.stage_us = std::move(response.stage_us);
  if (response.next_page_token) wire.__set_next_page_token(*response.next_page_token);
  if (!response.unknown_candidates.empty()) {
    wire.__set_unknown_candidates(response.unknown_candidates);
  }
  if (response.corrected_query) wire.__set_corrected_query(*response.corrected_query);
  return wire;
}

Status to_wire(engine::Status&& status) {
  Status wire;
  wire.version = std::move(status.version);
  wire.model_version = std::move(status.model_version);
  wire.device = std::move(status.device);
  wire.items = status.items;
  wire.users = status.users;
  wire.uptime_ms = status.uptime_ms;
  wire.ready = status.ready;
  if (!status.faiss.empty()) wire.__set_faiss(status.faiss);
  return wire;
}

}  // namespace fovea::api
