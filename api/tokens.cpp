#include "api/tokens.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>

namespace fovea::api {
namespace {

namespace fs = std::filesystem;

/// Some thousand tokens; whoever names another file by mistake has it refused and not read.
constexpr std::size_t kFileBytesMax = std::size_t{1} << 18;

[[noreturn]] void fail_tokens(const fs::path& file, const std::string& what) {
  throw std::runtime_error(fmt::format("the token file {} {}", file.string(), what));
}

void require_ours(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (error) fail_tokens(file, fmt::format("cannot be read: {}", error.message()));
  if (!fs::is_regular_file(status))
    fail_tokens(file, "is not a file; one with a token a line is expected");
  const auto open = status.permissions() & (fs::perms::others_read | fs::perms::others_write);
  if (open != fs::perms::none) {
    fail_tokens(file,
                fmt::format("is open to every user of this machine; close it with: chmod o= {}",
                            file.string()));
  }
  const auto bytes = fs::file_size(file, error);
  if (!error && bytes > kFileBytesMax) {
    fail_tokens(file, fmt::format("has {} bytes; at most {} are expected", bytes, kFileBytesMax));
  }
}

std::string_view trimmed(std::string_view line) {
  const auto begin = line.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

template <typename Digest>
Digest digest_of(std::string_view token) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return digest;
}

}  // namespace

Tokens Tokens::read(const fs::path& file) {
  require_ours(file);
  errno = 0;
  std::ifstream stream(file);
  if (!stream) fail_tokens(file, fmt::format("cannot be read: {}", std::strerror(errno)));
  Tokens tokens;
  std::size_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    const std::string_view token = trimmed(line);
    if (token.empty() || token.front() == '#') continue;
    // The sentences leave out the token: they go to the log.
    if (token.size() < kTokenBytesMin) {
      fail_tokens(file,
                  fmt::format("has a token of {} characters in line {}; at least {} are expected",
                              token.size(), number, kTokenBytesMin));
    }
    if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c > '~'; })) {
      fail_tokens(file,
                  fmt::format("has a token in line {} with a space or a character beyond ASCII, "
                              "which no header can carry",
                              number));
    }
    tokens.digests_.push_back(digest_of<Digest>(token));
  }
  if (stream.bad()) fail_tokens(file, "cannot be read to its end");
  if (tokens.digests_.empty()) fail_tokens(file, "has no token; one a line is expected");
  return tokens;
}

bool Tokens::contain(std::string_view token) const {
  const auto asked = digest_of<Digest>(token);
  bool found = false;
  for (const Digest& digest : digests_) {  // all of them: which one it was takes no less time
    const bool same = CRYPTO_memcmp(digest.data(), asked.data(), asked.size()) == 0;
    found = found || same;
  }
  return found;
}

}  // namespace fovea::api
