#include "storage/values.h"

#include <cstring>
#include <utility>

#include "storage/bytes.h"

namespace fovea::storage {
namespace {

constexpr std::uint8_t kFirst = 1;  // item: text; details: event id; trial: propensities
constexpr std::uint8_t kSecond = 2;

enum AttributeKind : std::uint8_t { kText = 0, kNumber = 1, kFlag = 2, kTexts = 3 };

void append_attribute(std::string& bytes, const AttributeValue& value) {
  append_number(bytes, static_cast<std::uint8_t>(value.index()));  // the variant's order is kept
  if (const auto* text = std::get_if<std::string>(&value)) {
    append_text<std::uint32_t>(bytes, *text);
  } else if (const auto* number = std::get_if<double>(&value)) {
    append_number(bytes, *number);
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    append_number(bytes, static_cast<std::uint8_t>(*flag));
  } else {
    const auto& texts = std::get<std::vector<std::string>>(value);
    append_number(bytes, static_cast<std::uint32_t>(texts.size()));
    for (const std::string& each : texts) append_text<std::uint32_t>(bytes, each);
  }
}

std::optional<AttributeValue> read_attribute(ByteReader& reader) {
  switch (reader.number<std::uint8_t>()) {
    case kText:
      return std::string(reader.text<std::uint32_t>());
    case kNumber:
      return reader.number<double>();
    case kFlag:
      return reader.number<std::uint8_t>() != 0;
    case kTexts: {
      std::vector<std::string> texts;
      const auto count = reader.number<std::uint32_t>();
      for (std::uint32_t i = 0; i < count && reader.ok(); ++i) {
        texts.emplace_back(reader.text<std::uint32_t>());
      }
      return texts;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string encode_item(const Item& item, std::uint64_t revision) {
  std::string bytes;
  append_number(bytes, revision);
  append_number(
      bytes, static_cast<std::uint8_t>((item.text ? kFirst : 0) | (item.embedding ? kSecond : 0)));
  if (item.text) append_text<std::uint32_t>(bytes, *item.text);
  if (item.embedding) {
    append_number(bytes, static_cast<std::uint32_t>(item.embedding->size()));
    for (const float number : *item.embedding) append_number(bytes, number);
  }
  append_number(bytes, static_cast<std::uint32_t>(item.attributes.size()));
  for (const auto& [name, value] : item.attributes) {
    append_text<std::uint32_t>(bytes, name);
    append_attribute(bytes, value);
  }
  return bytes;
}

std::optional<StoredItem> decode_item(std::string_view bytes) {
  ByteReader reader(bytes);
  StoredItem item;
  item.revision = reader.number<std::uint64_t>();
  const auto flags = reader.number<std::uint8_t>();
  if (flags & kFirst) item.text.emplace(reader.text<std::uint32_t>());
  if (flags & kSecond) {
    const std::size_t width = reader.number<std::uint32_t>();
    const std::string_view raw = reader.take(width * sizeof(float));
    if (!reader.ok()) return std::nullopt;
    item.embedding.emplace(width);
    if (width > 0) std::memcpy(item.embedding->data(), raw.data(), raw.size());
  }
  const auto attributes = reader.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < attributes && reader.ok(); ++i) {
    const std::string_view name = reader.text<std::uint32_t>();
    auto value = read_attribute(reader);
    if (!value) return std::nullopt;
    item.attributes.insert_or_assign(std::string(name), *std::move(value));
  }
  if (!reader.ended_well()) return std::nullopt;
  return item;
}

std::optional<std::uint64_t> decode_revision(std::string_view bytes) {
  ByteReader reader(bytes);
  const auto revision = reader.number<std::uint64_t>();
  if (!reader.ok()) return std::nullopt;
  return revision;
}

std::string encode_details(std::optional<std::string_view> event_id,
                           std::optional<std::string_view> request_id) {
  std::string bytes;
  append_number(bytes,
                static_cast<std::uint8_t>((event_id ? kFirst : 0) | (request_id ? kSecond : 0)));
  if (event_id) append_text<std::uint16_t>(bytes, *event_id);
  if (request_id) append_text<std::uint16_t>(bytes, *request_id);
  return bytes;
}

std::optional<Details> decode_details(std::string_view bytes) {
  ByteReader reader(bytes);
  Details details;
  const auto flags = reader.number<std::uint8_t>();
  if (flags & kFirst) details.event_id.emplace(reader.text<std::uint16_t>());
  if (flags & kSecond) details.request_id.emplace(reader.text<std::uint16_t>());
  if (!reader.ended_well()) return std::nullopt;
  return details;
}

std::string encode_exposure(std::string_view model_version,
                            const std::vector<std::uint32_t>& rows) {
  std::string bytes;
  append_text<std::uint16_t>(bytes, model_version);
  for (const std::uint32_t row : rows) append_number(bytes, row);
  return bytes;
}

std::optional<ExposureValue> decode_exposure(std::string_view bytes) {
  ByteReader reader(bytes);
  ExposureValue value;
  value.model_version = reader.text<std::uint16_t>();
  value.rows.reserve(reader.left() / sizeof(std::uint32_t));
  while (reader.ok() && reader.left() > 0) value.rows.push_back(reader.number<std::uint32_t>());
  if (!reader.ended_well()) return std::nullopt;
  return value;
}

std::string encode_trials(const Exposure& exposure) {
  std::string bytes;
  append_text<std::uint16_t>(bytes, exposure.model_version);
  append_number(bytes, static_cast<std::uint16_t>(exposure.rows.size()));
  for (const std::uint32_t row : exposure.rows) append_number(bytes, row);
  append_number(bytes, static_cast<std::uint16_t>(exposure.trials.size()));
  for (const Trial& trial : exposure.trials) {
    append_text<std::uint16_t>(bytes, trial.experiment);
    append_number(bytes, trial.version);
    append_text<std::uint16_t>(bytes, trial.variant);
    append_number(bytes, static_cast<std::uint8_t>((trial.propensities.empty() ? 0 : kFirst) |
                                                   (trial.teams.empty() ? 0 : kSecond)));
    for (const float propensity : trial.propensities) append_number(bytes, propensity);
    for (const std::uint8_t team : trial.teams) append_number(bytes, team);
  }
  return bytes;
}

std::optional<Exposure> decode_trials(std::string_view bytes) {
  ByteReader reader(bytes);
  Exposure exposure;
  exposure.model_version = reader.text<std::uint16_t>();
  const auto rows = reader.number<std::uint16_t>();
  for (std::size_t i = 0; i < rows && reader.ok(); ++i) {
    exposure.rows.push_back(reader.number<std::uint32_t>());
  }
  const auto trials = reader.number<std::uint16_t>();
  for (std::size_t i = 0; i < trials && reader.ok(); ++i) {
    Trial& trial = exposure.trials.emplace_back();
    trial.experiment = reader.text<std::uint16_t>();
    trial.version = reader.number<std::int32_t>();
    trial.variant = reader.text<std::uint16_t>();
    const auto flags = reader.number<std::uint8_t>();
    for (std::size_t r = 0; (flags & kFirst) != 0 && r < rows && reader.ok(); ++r) {
      trial.propensities.push_back(reader.number<float>());
    }
    for (std::size_t r = 0; (flags & kSecond) != 0 && r < rows && reader.ok(); ++r) {
      trial.teams.push_back(reader.number<std::uint8_t>());
    }
  }
  if (!reader.ended_well()) return std::nullopt;
  return exposure;
}

}  // namespace fovea::storage
