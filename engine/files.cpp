#include "engine/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

namespace fovea::engine {
namespace fs = std::filesystem;
namespace {

/// An open file or folder, closed by the destructor.
class File {
 public:
  File(const fs::path& path, int flags)
      : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) fail(path_, fmt::format("cannot be opened: {}", std::strerror(errno)));
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(path_, fmt::format("cannot be written: {}", std::strerror(errno)));
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  void sync() {
    if (::fsync(descriptor_) != 0) {
      fail(path_, fmt::format("cannot be made durable: {}", std::strerror(errno)));
    }
  }

 private:
  fs::path path_;
  int descriptor_;
};

}  // namespace

void fail(const fs::path& file, std::string_view what) {
  throw VersionError(fmt::format("{}: {}", file.string(), what));
}

void sync(const fs::path& path) { File(path, O_RDONLY).sync(); }

void write_synced(const fs::path& path, std::string_view bytes) {
  File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  file.write(bytes);
  file.sync();
}

void replace_synced(const fs::path& path, std::string_view bytes) {
  const fs::path next = path.string() + ".next";
  write_synced(next, bytes);
  fs::rename(next, path);
  engine::sync(path.parent_path());
}

void copy_synced(const fs::path& from, const fs::path& to) {
  std::ifstream in(from, std::ios::binary);
  if (!in) fail(from, "cannot be read");
  File out(to, O_WRONLY | O_CREAT | O_TRUNC);
  std::vector<char> block(1 << 20);
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0) {
    out.write({block.data(), static_cast<std::size_t>(in.gcount())});
  }
  if (in.bad()) fail(from, "cannot be read to its end");
  out.sync();
}

std::string read_small(const fs::path& path, std::uintmax_t bytes_max) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) fail(path, fmt::format("cannot be read: {}", error.message()));
  if (size > bytes_max) fail(path, "is far larger than such a file can be");
  std::ifstream file(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) fail(path, "cannot be read");
  return bytes;
}

void check_file(const fs::path& path, std::uintmax_t bytes, std::string_view sha256) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) fail(path, fmt::format("cannot be read: {}", error.message()));
  if (size != bytes) fail(path, fmt::format("has {} bytes, {} expected", size, bytes));
  if (sha256_of_file(path) != sha256) fail(path, "was changed after it was written (SHA-256)");
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr || EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("SHA-256 is not available from OpenSSL");
  }
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::add(std::string_view bytes) { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  EVP_DigestFinal_ex(context_, digest.data(), &length);
  std::string text;
  for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string sha256(std::string_view bytes) {
  Sha256 sum;
  sum.add(bytes);
  return sum.hex();
}

std::string sha256_of_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "cannot be read");
  Sha256 sum;
  std::vector<char> block(1 << 16);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0) {
    sum.add({block.data(), static_cast<std::size_t>(file.gcount())});
  }
  if (file.bad()) fail(path, "cannot be read to its end");
  return sum.hex();
}

}  // namespace fovea::engine
