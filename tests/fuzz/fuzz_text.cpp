// Short texts that people and clients give: page tokens, the configuration file, addresses,
// durations. The first byte chooses which; what follows is refused with a sentence, or is read as
// something that is written the same.
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "api/address.h"
#include "api/config.h"
#include "api/duration.h"
#include "engine/files.h"
#include "engine/page_token.h"

namespace {

namespace fs = std::filesystem;
using namespace fovea;

constexpr std::uint64_t kRequest = 0x0123456789abcdef;

void check(bool holds) {
  if (!holds) std::abort();
}

void read_token(std::string_view text) {
  try {
    const auto token = engine::read_page_token(text, kRequest);
    check(token.request == kRequest && token.shown.size() <= engine::kShownMax);
    const auto again = engine::read_page_token(engine::to_text(token), kRequest);
    check(again.shown == token.shown);
  } catch (const engine::InvalidRequest& error) {
    check(error.field == "page_token" && error.what()[0] != '\0');
  }
}

/// The same bytes behind a header that is right, which no mutation finds.
std::string signed_token(std::string_view rows) {
  constexpr std::string_view kCharacters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string head = "\1";
  for (int shift = 0; shift < 64; shift += 8) head.push_back(static_cast<char>(kRequest >> shift));
  const auto sum = std::stoul(engine::sha256(head + std::string(rows)).substr(0, 8), nullptr, 16);
  for (int shift = 0; shift < 32; shift += 8) head.push_back(static_cast<char>(sum >> shift));
  head.append(rows);
  std::string text;
  for (std::size_t bit = 0; bit < head.size() * 8; bit += 6) {
    unsigned value = 0;
    for (std::size_t b = bit; b < bit + 6; ++b) {
      const unsigned byte = b / 8 < head.size() ? static_cast<unsigned char>(head[b / 8]) : 0;
      value = value << 1 | (byte >> (7 - b % 8) & 1U);
    }
    text.push_back(kCharacters[value]);
  }
  return text;
}

void read_config(std::string_view text) {
  static const fs::path kFile =
      fs::temp_directory_path() / ("fuzz-config-" + std::to_string(getpid()));
  std::ofstream(kFile, std::ios::binary) << text;
  try {
    for (const auto& action : api::read_config(kFile).actions) {
      check(std::isfinite(action.weight));
    }
  } catch (const std::runtime_error& error) {
    check(std::string_view(error.what()).starts_with(kFile.string() + ':'));
  }
  fs::remove(kFile);
}

void read_address(std::string_view text) {
  try {
    const auto address = api::parse_host_port(text);
    const auto again = api::parse_host_port(api::to_string(address));
    check(again.host == address.host && again.port == address.port);
  } catch (const std::invalid_argument& error) {
    check(error.what()[0] != '\0');
  }
}

void read_duration(std::string_view text) {
  try {
    const auto seconds = api::parse_duration("--every", text).count();
    check(seconds >= 1 && seconds <= 366 * 86'400);
  } catch (const std::invalid_argument& error) {
    check(std::string_view(error.what()).starts_with("--every"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      read_token(text);
      break;
    case 1:
      read_token(signed_token(text));
      break;
    case 2:
      read_config(text);
      break;
    case 3:
      read_address(text);
      break;
    default:
      read_duration(text);
  }
  return 0;
}
