// The two protocols' grammar, as far as lengths go. Binary: every value says or implies its length.
// Compact: integers of seven bits a byte, short fields and lists in one byte.
#include "api/message_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace fovea::api {
namespace {

/// Deeper than dispatch reads, which says so in an answer; here it only bounds the memory.
constexpr std::size_t kPartsMax = 100;
constexpr std::size_t kVarintBytesMax = 10;

/// Thrift's types in the binary protocol.
enum BinaryType : std::uint8_t {
  kBinaryStop = 0,
  kBinaryBool = 2,
  kBinaryByteType = 3,
  kBinaryDouble = 4,
  kBinaryI16 = 6,
  kBinaryI32 = 8,
  kBinaryI64 = 10,
  kBinaryString = 11,
  kBinaryStruct = 12,
  kBinaryMap = 13,
  kBinarySet = 14,
  kBinaryList = 15,
};

/// And in the compact one.
enum CompactType : std::uint8_t {
  kCompactStop = 0,
  kCompactTrue = 1,
  kCompactFalse = 2,
  kCompactByteType = 3,
  kCompactI16 = 4,
  kCompactI32 = 5,
  kCompactI64 = 6,
  kCompactDouble = 7,
  kCompactString = 8,
  kCompactList = 9,
  kCompactSet = 10,
  kCompactMap = 11,
  kCompactStruct = 12,
};

constexpr std::uint8_t kLongList = 15;  // the compact list's length follows its header

}  // namespace

std::variant<MessageEnd, NeedMore, NoMessage> MessageScan::look(
    std::span<const std::uint8_t> bytes) {
  bytes_ = bytes;
  missing_ = 0;
  while (!parts_.empty() && step()) {
  }
  if (fault_) return NoMessage{*fault_};
  // What was skipped may not have arrived yet.
  if (at_ > bytes_.size()) return NeedMore{at_ - bytes_.size()};
  if (!parts_.empty()) return NeedMore{missing_};
  return MessageEnd{at_};
}

bool MessageScan::step() {
  if (at_ > bytes_.size()) return false;
  switch (parts_.back().kind) {
    case Part::Kind::kHeader:
      return header();
    case Part::Kind::kName:
      return name();
    case Part::Kind::kStruct:
      return field();
    case Part::Kind::kString:
      return string();
    case Part::Kind::kList:
      return list();
    case Part::Kind::kMap:
      return map();
    case Part::Kind::kValues:
      return values();
  }
  return fail("a part of it is of no known kind");
}

/// Version and type; then come the name, in the binary protocol the sequence number behind it, in
/// the compact one before it, and the arguments' struct.
bool MessageScan::header() {
  if (take(compact() ? 2 : 4) == nullptr) return false;
  parts_ = {{.kind = Part::Kind::kStruct}, {.kind = Part::Kind::kName}};
  return true;
}

bool MessageScan::name() {
  const std::size_t before = at_;
  if (compact()) {
    if (!varint()) return false;
    const auto length = varint();
    if (!length) {
      at_ = before;
      return false;
    }
    parts_.pop_back();
    return skip(*length);
  }
  const auto length = number();
  if (!length) return false;
  parts_.pop_back();
  return skip(std::uint64_t{*length} + 4);
}

bool MessageScan::field() {
  if (compact()) {
    const std::size_t before = at_;
    const auto* const first = take(1);
    if (first == nullptr) return false;
    const std::uint8_t type = *first & 0x0F;
    if (type == kCompactStop) {
      parts_.pop_back();
      return true;
    }
    if (*first >> 4 == 0 && !varint()) {  // its id in full
      at_ = before;
      return false;
    }
    return value(type, false);
  }
  const auto* const type = take(1);
  if (type == nullptr) return false;
  if (*type == kBinaryStop) {
    parts_.pop_back();
    return true;
  }
  return skip(2) && value(*type, false);  // past its id
}

bool MessageScan::value(std::uint8_t type, bool in_container) {
  const auto push = [&](Part::Kind kind) {
    if (parts_.size() == kPartsMax) {
      return fail(fmt::format("it nests more than {} deep", kPartsMax));
    }
    // Of one value, where it is values: an integer, which has no part of its own.
    parts_.push_back({.kind = kind, .left = 1, .type = type, .other_type = type});
    return true;
  };
  if (compact()) {
    switch (type) {
      case kCompactTrue:
      case kCompactFalse:
        return skip(in_container ? 1 : 0);  // a field's header says which
      case kCompactByteType:
        return skip(1);
      case kCompactI16:
      case kCompactI32:
      case kCompactI64:
        return push(Part::Kind::kValues);
      case kCompactDouble:
        return skip(8);
      case kCompactString:
        return push(Part::Kind::kString);
      case kCompactList:
      case kCompactSet:
        return push(Part::Kind::kList);
      case kCompactMap:
        return push(Part::Kind::kMap);
      case kCompactStruct:
        return push(Part::Kind::kStruct);
      default:
        return fail(fmt::format("it has a value of type {}, which there is not", type));
    }
  }
  switch (type) {
    case kBinaryBool:
    case kBinaryByteType:
      return skip(1);
    case kBinaryI16:
      return skip(2);
    case kBinaryI32:
      return skip(4);
    case kBinaryDouble:
    case kBinaryI64:
      return skip(8);
    case kBinaryString:
      return push(Part::Kind::kString);
    case kBinaryList:
    case kBinarySet:
      return push(Part::Kind::kList);
    case kBinaryMap:
      return push(Part::Kind::kMap);
    case kBinaryStruct:
      return push(Part::Kind::kStruct);
    default:
      return fail(fmt::format("it has a value of type {}, which there is not", type));
  }
}

bool MessageScan::string() {
  std::optional<std::uint64_t> length;
  if (compact()) {
    length = varint();
  } else if (const auto bytes = number()) {
    length = *bytes;
  }
  if (!length) return false;
  parts_.pop_back();
  return skip(*length);
}

bool MessageScan::list() {
  Part values{.kind = Part::Kind::kValues};
  if (compact()) {
    const std::size_t before = at_;
    const auto* const header = take(1);
    if (header == nullptr) return false;
    values.type = values.other_type = *header & 0x0F;
    values.left = *header >> 4;
    if (values.left == kLongList) {
      const auto length = varint();
      if (!length) {
        at_ = before;
        return false;
      }
      values.left = *length;
    }
  } else {
    const auto* const header = take(5);
    if (header == nullptr) return false;
    at_ -= 4;
    values.type = values.other_type = *header;
    values.left = *number();
  }
  parts_.back() = values;
  return true;
}

bool MessageScan::map() {
  Part values{.kind = Part::Kind::kValues};
  if (compact()) {
    const std::size_t before = at_;
    const auto length = varint();
    if (!length) return false;
    if (*length > 0) {
      const auto* const types = take(1);
      if (types == nullptr) {
        at_ = before;
        return false;
      }
      values.type = *types >> 4;
      values.other_type = *types & 0x0F;
    }
    values.left = *length;
  } else {
    const auto* const header = take(6);
    if (header == nullptr) return false;
    at_ -= 4;
    values.type = header[0];
    values.other_type = header[1];
    values.left = *number();
  }
  if (values.left > bytes_max_) return fail(fmt::format("a map claims {} entries", values.left));
  values.left *= 2;
  parts_.back() = values;
  return true;
}

bool MessageScan::values() {
  Part& part = parts_.back();
  if (part.left == 0) {
    parts_.pop_back();
    return true;
  }
  const std::uint8_t type = part.left % 2 == 0 ? part.type : part.other_type;
  if (compact() && (type == kCompactI16 || type == kCompactI32 || type == kCompactI64)) {
    if (!varint()) return false;
    --part.left;
    return true;
  }
  --part.left;
  return value(type, true);
}

const std::uint8_t* MessageScan::take(std::size_t bytes) {
  if (at_ + bytes > bytes_max_) {
    fail(fmt::format("it is longer than {} bytes, the limit", bytes_max_));
    return nullptr;
  }
  if (bytes_.size() - at_ < bytes) {
    missing_ = bytes - (bytes_.size() - at_);
    return nullptr;
  }
  const std::uint8_t* const taken = bytes_.data() + at_;
  at_ += bytes;
  return taken;
}

std::optional<std::uint32_t> MessageScan::number() {
  const std::uint8_t* const bytes = take(4);
  if (bytes == nullptr) return std::nullopt;
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
         std::uint32_t{bytes[2]} << 8 | bytes[3];
}

std::optional<std::uint64_t> MessageScan::varint() {
  std::uint64_t result = 0;
  for (std::size_t i = 0; i < kVarintBytesMax; ++i) {
    if (at_ + i >= bytes_.size()) {
      missing_ = 1;
      return std::nullopt;
    }
    const std::uint8_t byte = bytes_[at_ + i];
    result |= std::uint64_t{byte & 0x7FU} << 7 * i;
    if ((byte & 0x80) == 0) {
      at_ += i + 1;
      return result;
    }
  }
  fail("an integer is longer than ten bytes");
  return std::nullopt;
}

bool MessageScan::skip(std::uint64_t bytes) {
  if (bytes > bytes_max_ || at_ + bytes > bytes_max_) {
    return fail(fmt::format("it claims more than {} bytes, the limit", bytes_max_));
  }
  at_ += static_cast<std::size_t>(bytes);
  return true;
}

bool MessageScan::fail(std::string reason) {
  fault_ = std::move(reason);
  return false;
}

}  // namespace fovea::api
