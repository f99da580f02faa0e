#include "engine/page_token.h"

#include <optional>
#include <span>
#include <string>

#include "engine/files.h"

namespace fovea::engine {
namespace {

// A format byte, the fingerprint, four bytes of the hash of all others, then each row as its
// distance to the row before, seven bits a byte, the last byte of each with a zero above them. Six
// bits of that make one character.
constexpr char kFormat = 1;
constexpr std::size_t kHashAt = 9;
constexpr std::size_t kHeaderBytes = 13;
constexpr std::string_view kCharacters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// No row's distance is longer than five bytes.
constexpr std::size_t kTextMax = (kHeaderBytes + 5 * kShownMax) * 4 / 3 + 4;

std::uint64_t first_bytes(std::string_view sha256_hex, std::size_t bytes) {
  return std::stoull(std::string(sha256_hex.substr(0, 2 * bytes)), nullptr, 16);
}

std::string hash_of(std::string_view bytes) {
  Sha256 sum;
  sum.add(bytes.substr(0, kHashAt));
  sum.add(bytes.substr(kHeaderBytes));
  const std::uint64_t value = first_bytes(sum.hex(), 4);
  std::string result;
  for (int shift = 0; shift < 32; shift += 8) result.push_back(static_cast<char>(value >> shift));
  return result;
}

std::string to_characters(std::string_view bytes) {
  std::string text;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(byte);
    for (held += 8; held >= 6; held -= 6) text.push_back(kCharacters[bits >> (held - 6) & 63]);
  }
  if (held > 0) text.push_back(kCharacters[bits << (6 - held) & 63]);
  return text;
}

std::optional<std::string> from_characters(std::string_view text) {
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char character : text) {
    const std::size_t value = kCharacters.find(character);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes.push_back(static_cast<char>(bits >> held));
    }
  }
  return bytes;
}

std::optional<std::vector<std::uint32_t>> rows_of(std::string_view bytes) {
  std::vector<std::uint32_t> rows;
  std::uint64_t row = 0;
  std::uint64_t distance = 0;
  int shift = 0;
  for (const char byte : bytes) {
    if (shift > 28) return std::nullopt;
    distance |= std::uint64_t{static_cast<unsigned char>(byte) & 127U} << shift;
    shift += 7;
    if ((static_cast<unsigned char>(byte) & 128U) != 0) continue;
    row += distance;
    if (row > 0xFFFFFFFF || rows.size() == kShownMax) return std::nullopt;
    rows.push_back(static_cast<std::uint32_t>(row));
    distance = 0;
    shift = 0;
  }
  if (shift != 0) return std::nullopt;
  return rows;
}

}  // namespace

std::uint64_t fingerprint(const RankRequest& request) {
  Sha256 sum;
  // Lengths stand before texts, so that no two requests make one text.
  const auto add = [&](std::string_view text) {
    sum.add(std::to_string(text.size()) + ':');
    sum.add(text);
  };
  const auto add_all = [&](std::span<const std::string> texts) {
    sum.add(std::to_string(texts.size()) + ',');
    for (const auto& text : texts) add(text);
  };
  for (const auto* text : {&request.user_id, &request.query, &request.filter}) {
    sum.add(*text ? "+" : "-");
    if (*text) add(**text);
  }
  add_all(request.seed_items);
  sum.add(request.candidates ? "+" : "-");
  if (request.candidates) add_all(*request.candidates);
  return first_bytes(sum.hex(), 8);
}

std::string to_text(const PageToken& token) {
  std::string bytes(1, kFormat);
  for (int shift = 0; shift < 64; shift += 8) {
    bytes.push_back(static_cast<char>(token.request >> shift));
  }
  bytes.resize(kHeaderBytes);
  std::uint32_t before = 0;
  for (const std::uint32_t row : token.shown) {
    std::uint32_t distance = row - before;
    for (; distance > 127; distance >>= 7) bytes.push_back(static_cast<char>(distance | 128U));
    bytes.push_back(static_cast<char>(distance));
    before = row;
  }
  bytes.replace(kHashAt, kHeaderBytes - kHashAt, hash_of(bytes));
  return to_characters(bytes);
}

PageToken read_page_token(std::string_view text, std::uint64_t request) {
  const auto refuse = [](const char* what) -> InvalidRequest {
    return {"page_token", std::string("page_token ") + what};
  };
  constexpr const char* kForeign =
      "is not one of this server's; the next_page_token of the page before is expected";
  if (text.size() > kTextMax) throw refuse(kForeign);
  const auto bytes = from_characters(text);
  if (!bytes || bytes->size() < kHeaderBytes || bytes->front() != kFormat ||
      std::string_view(*bytes).substr(kHashAt, kHeaderBytes - kHashAt) != hash_of(*bytes)) {
    throw refuse(kForeign);
  }
  auto rows = rows_of(std::string_view(*bytes).substr(kHeaderBytes));
  if (!rows) throw refuse(kForeign);
  PageToken token{0, std::move(*rows)};
  for (std::size_t i = 0; i < 8; ++i) {
    token.request |= std::uint64_t{static_cast<unsigned char>((*bytes)[1 + i])} << (8 * i);
  }
  if (token.request != request) {
    throw refuse(
        "belongs to another request; user_id, query, filter, seed_items and candidates stay the "
        "same from page to page");
  }
  return token;
}

}  // namespace fovea::engine
