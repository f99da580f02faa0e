// gzip and zstd, told by a file's name: content that is read from a file, and blocks of content
// that are written. Owns the two formats; what the bytes mean is its callers'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::api {

enum class Compression { kNone, kGzip, kZstd };

/// By the ending: .gz is gzip, .zst is zstd, any other name is not compressed.
Compression compression_of(std::string_view file_name);
/// The name without that ending, which says what the content is.
std::string_view content_name(std::string_view file_name);

/// `bytes` as one gzip member or one zstd frame, which holds them whole; equal bytes give equal
/// ones. Several, one after the other, are a file again. Without compression the bytes themselves.
std::string compress(Compression compression, std::string_view bytes);

/// A file, or stdin, whose content is read as a stream: it keeps two blocks of it, whatever the
/// file claims about itself. Reading throws std::runtime_error, a sentence that names the file, for
/// what cannot be read, is damaged or ends too early; give std::istream::badbit to exceptions() of
/// the stream over it, which swallows that otherwise. Not thread-safe.
class InputContent : public std::streambuf {
 public:
  /// "-" is stdin, which is not decompressed. Throws std::runtime_error: not there, not readable, a
  /// directory.
  explicit InputContent(const std::string& file);
  ~InputContent() override;
  InputContent(const InputContent&) = delete;
  InputContent& operator=(const InputContent&) = delete;

  /// What tells this file from what may stand in its place later.
  struct Identity {
    std::uint64_t bytes = 0;  ///< As it lies on the disk.
    std::int64_t modified_ns = 0;
  };
  /// Absent: a pipe or terminal, which cannot be read again.
  const std::optional<Identity>& identity() const { return identity_; }
  std::uint64_t bytes_read() const { return bytes_read_; }  ///< Of the file, before decompression.

 protected:
  int_type underflow() override;

 private:
  class Decoder;
  class GzipDecoder;
  class ZstdDecoder;
  bool read_block();  // false at the end

  std::string name_;
  int descriptor_;
  bool owned_;
  std::optional<Identity> identity_;
  std::uint64_t bytes_read_ = 0;
  std::unique_ptr<Decoder> decoder_;  // null: nothing to decompress
  std::vector<char> block_;           // as read
  std::string_view undecoded_;        // of block_
  std::vector<char> content_;
  bool held_back_ = false;  // the decoder may have more content of what it took
};

}  // namespace fovea::api
