// Files that are whole or refused: synced writes, SHA-256, bounded reads. Owns no format; what lies
// under DATA/versions is models' and checkpoint's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL's

namespace fovea::engine {

/// A version's files are missing, truncated, changed or of another format; the message names the
/// file.
struct VersionError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void fail(const std::filesystem::path& file, std::string_view what);

/// All of these throw VersionError.
void sync(const std::filesystem::path& path);  ///< A file or a folder.
void write_synced(const std::filesystem::path& path, std::string_view bytes);
/// A reader sees the old file or the new one.
void replace_synced(const std::filesystem::path& path, std::string_view bytes);
/// The bytes of a file as they are, whatever they are worth.
void copy_synced(const std::filesystem::path& from, const std::filesystem::path& to);
/// At most a MiB, as CURRENT and cards are, unless said; a missing file is refused too.
std::string read_small(const std::filesystem::path& path, std::uintmax_t bytes_max = 1 << 20);
void check_file(const std::filesystem::path& path, std::uintmax_t bytes, std::string_view sha256);

/// Of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::string_view bytes);
  std::string hex();  ///< Ends it.

 private:
  evp_md_ctx_st* context_;
};

std::string sha256(std::string_view bytes);
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace fovea::engine
