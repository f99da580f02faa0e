#include "api/wire_json.h"

#include <array>
#include <map>
#include <string>

#include "api/json.h"
#include "api/json_fields.h"
#include "api/wire.h"

namespace fovea::api {
namespace {

namespace json = boost::json;
using Name = std::string_view;

Boost boost_from_json(const json::object& object) {
  static constexpr std::array kFields = {
      JsonField<Boost>{"filter",
                       [](Name field, const json::value& value, Boost& into) {
                         into.filter = string_of(field, value);
                       },
                       true},
      JsonField<Boost>{"add",
                       [](Name field, const json::value& value, Boost& into) {
                         into.add = number_of(field, value);
                       },
                       true},
  };
  return read_fields<Boost>(object, "a boost", kFields);
}

Pin pin_from_json(const json::object& object) {
  static constexpr std::array kFields = {
      JsonField<Pin>{"item_id",
                     [](Name field, const json::value& value, Pin& into) {
                       into.item_id = string_of(field, value);
                     },
                     true},
      JsonField<Pin>{"position",
                     [](Name field, const json::value& value, Pin& into) {
                       into.position = int32_of(field, value);
                     },
                     true},
  };
  return read_fields<Pin>(object, "a pin", kFields);
}

Cap cap_from_json(const json::object& object) {
  static constexpr std::array kFields = {
      JsonField<Cap>{"attribute",
                     [](Name field, const json::value& value, Cap& into) {
                       into.attribute = string_of(field, value);
                     },
                     true},
      JsonField<Cap>{"at_most",
                     [](Name field, const json::value& value, Cap& into) {
                       into.at_most = int32_of(field, value);
                     },
                     true},
  };
  return read_fields<Cap>(object, "a cap", kFields);
}

std::map<std::string, std::string> variants_of(Name field, const json::value& value) {
  std::map<std::string, std::string> variants;
  for (const auto& [experiment, variant] : object_of(field, value)) {
    variants.emplace(experiment, string_of(fmt::format("{}.{}", field, Name(experiment)), variant));
  }
  return variants;
}

json::object to_json(const Explanation& explanation) {
  json::object object;
  auto& attention = object["attention"].emplace_array();
  for (const Attention& behaviour : explanation.attention) {
    attention.push_back({{"item_id", behaviour.item_id},
                         {"action", behaviour.action},
                         {"time_ms", behaviour.time_ms},
                         {"weight", behaviour.weight}});
  }
  object["parts"] = json::value_from(explanation.parts);
  object["rules"] = json::value_from(explanation.rules);
  if (explanation.__isset.rank_without_top_event) {
    object["rank_without_top_event"] = explanation.rank_without_top_event;
  }
  if (explanation.__isset.matched_words) {
    object["matched_words"] = json::value_from(explanation.matched_words);
  }
  if (explanation.__isset.similarity) object["similarity"] = explanation.similarity;
  return object;
}

}  // namespace

RankRequest rank_request_from_json(const json::object& object) {
  using Field = JsonField<RankRequest>;
  static constexpr std::array kFields = {
      Field{"user_id",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_user_id(string_of(field, value));
            }},
      Field{"session",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_session(objects_of(field, value, wire_event_from_json));
            }},
      Field{"query", [](Name field, const json::value& value,
                        RankRequest& request) { request.__set_query(string_of(field, value)); }},
      Field{"seed_items",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_seed_items(strings_of(field, value));
            }},
      Field{"candidates",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_candidates(strings_of(field, value));
            }},
      Field{"limit", [](Name field, const json::value& value,
                        RankRequest& request) { request.__set_limit(int32_of(field, value)); }},
      Field{"filter", [](Name field, const json::value& value,
                         RankRequest& request) { request.__set_filter(string_of(field, value)); }},
      Field{"exclude_items",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_exclude_items(strings_of(field, value));
            }},
      Field{"include_seen",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_include_seen(bool_of(field, value));
            }},
      Field{"boosts",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_boosts(objects_of(field, value, boost_from_json));
            }},
      Field{"pins",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_pins(objects_of(field, value, pin_from_json));
            }},
      Field{"caps",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_caps(objects_of(field, value, cap_from_json));
            }},
      Field{"diversity",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_diversity(number_of(field, value));
            }},
      Field{"deadline_ms",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_deadline_ms(int32_of(field, value));
            }},
      Field{"explain", [](Name field, const json::value& value,
                          RankRequest& request) { request.__set_explain(bool_of(field, value)); }},
      Field{"page_token",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_page_token(string_of(field, value));
            }},
      Field{"variants",
            [](Name field, const json::value& value, RankRequest& request) {
              request.__set_variants(variants_of(field, value));
            }},
      Field{"preview", [](Name field, const json::value& value,
                          RankRequest& request) { request.__set_preview(bool_of(field, value)); }},
      Field{"traceparent",
            [](Name field, const json::value& value,
               RankRequest& request) { request.__set_traceparent(string_of(field, value)); }},
  };
  return read_fields<RankRequest>(object, "a rank request", kFields);
}

Item wire_item_from_json(const json::object& object) { return to_wire(item_from_json(object)); }
Event wire_event_from_json(const json::object& object) { return to_wire(event_from_json(object)); }

json::object to_json(const RankResponse& response) {
  json::object object;
  object["request_id"] = response.request_id;
  auto& items = object["items"].emplace_array();
  for (const RankedItem& ranked : response.items) {
    json::object item = {
        {"item_id", ranked.item_id}, {"score", ranked.score}, {"source", ranked.source}};
    if (ranked.__isset.explanation) item["explanation"] = to_json(ranked.explanation);
    items.emplace_back(std::move(item));
  }
  object["model_version"] = response.model_version;
  object["degraded"] = response.degraded;
  if (response.__isset.degraded_reason) object["degraded_reason"] = response.degraded_reason;
  object["variants"] = json::value_from(response.variants);
  if (response.__isset.next_page_token) object["next_page_token"] = response.next_page_token;
  if (response.__isset.unknown_candidates) {
    object["unknown_candidates"] = json::value_from(response.unknown_candidates);
  }
  if (response.__isset.corrected_query) object["corrected_query"] = response.corrected_query;
  object["stage_us"] = json::value_from(response.stage_us);
  return object;
}

json::object to_json(const Item& item) { return to_json(from_wire(item, "")); }
json::object to_json(const Event& event) { return to_json(from_wire(event)); }

json::object to_json(const Status& status) {
  json::object object = {{"version", status.version}, {"model_version", status.model_version},
                         {"device", status.device},   {"items", status.items},
                         {"users", status.users},     {"uptime_ms", status.uptime_ms},
                         {"ready", status.ready}};
  if (status.__isset.faiss) object["faiss"] = status.faiss;
  return object;
}

}  // namespace fovea::api
