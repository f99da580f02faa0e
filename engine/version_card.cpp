#include "engine/version_card.h"

#include <boost/json.hpp>
#include <stdexcept>
#include <type_traits>

namespace fovea::engine {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kVersionFormat = 3;

/// Absent in versions from before there was such a field.
template <typename T>
T value_or(const json::object& card, const char* name, const T& otherwise) {
  const json::value* value = card.if_contains(name);
  return value == nullptr ? otherwise : json::value_to<T>(*value);
}

}  // namespace

std::string to_text(const Card& card) {
  const VersionCard& version = card.version;
  json::object metrics;
  for (const auto& [name, value] : version.metrics) metrics[name] = value;
  json::object options{{"seed", version.options.seed}};
  ranking::for_each_option(version.options, [&](const char* name, const auto& field, auto...) {
    options[name] = field;
  });
  json::object files;
  for (const auto& [name, sum] : card.files) {
    files[name] = json::object{{"bytes", sum.bytes}, {"sha256", sum.sha256}};
  }
  return json::serialize(json::object{{"format", kVersionFormat},
                                      {"version", version.version},
                                      {"split", name(version.split)},
                                      {"options", std::move(options)},
                                      {"items", version.items},
                                      {"users", version.users},
                                      {"behaviours", version.behaviours},
                                      {"newest_ms", version.newest_ms},
                                      {"from", version.from},
                                      {"continued", version.continued},
                                      {"replaced", version.replaced},
                                      {"catalog_revision", version.catalog_revision},
                                      {"trained_ms", version.trained_ms},
                                      {"text_encoder", version.text_encoder},
                                      {"device", version.device},
                                      {"metrics", std::move(metrics)},
                                      {"fovea_version", version.fovea_version},
                                      {"files", std::move(files)}}) +
         "\n";
}

Card parse_card(std::string_view text) {
  const json::value parsed = json::parse(text);
  const json::object& card = parsed.as_object();
  if (card.at("format").to_number<std::uint64_t>() != kVersionFormat) {
    throw std::runtime_error("it is of another format than this program reads; train again");
  }
  Card result;
  VersionCard& version = result.version;
  version.version = card.at("version").as_string();
  version.split = parse_split(card.at("split").as_string());
  const json::object& options = card.at("options").as_object();
  version.options.seed = options.at("seed").to_number<std::uint64_t>();
  ranking::for_each_option(version.options, [&](const char* name, auto& field, auto...) {
    // A choice that the recipe did not have yet was as its default is.
    field = value_or<std::decay_t<decltype(field)>>(options, name, field);
  });
  version.items = card.at("items").to_number<std::size_t>();
  version.users = card.at("users").to_number<std::size_t>();
  version.behaviours = card.at("behaviours").to_number<std::size_t>();
  version.newest_ms = card.at("newest_ms").to_number<std::int64_t>();
  version.from = card.at("from").as_string();
  version.continued = value_or<std::size_t>(card, "continued", version.from.empty() ? 0 : 1);
  version.replaced = value_or<std::string>(card, "replaced", "");
  version.catalog_revision = card.at("catalog_revision").to_number<std::uint64_t>();
  version.trained_ms = card.at("trained_ms").to_number<std::int64_t>();
  version.text_encoder = value_or<std::string>(card, "text_encoder", "lsa");
  version.device = value_or<std::string>(card, "device", "CPU");  // the only one, before
  for (const auto& [key, value] : card.at("metrics").as_object()) {
    version.metrics[key] = value.to_number<double>();
  }
  version.fovea_version = card.at("fovea_version").as_string();
  for (const auto& [name, about] : card.at("files").as_object()) {
    result.files[std::string(name)] = {about.at("bytes").to_number<std::uintmax_t>(),
                                       std::string(about.at("sha256").as_string())};
  }
  return result;
}

}  // namespace fovea::engine
