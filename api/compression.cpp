#include "api/compression.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace fovea::api {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 18;
/// Of zlib's windowBits: the largest window, with gzip's header and checksum.
constexpr int kGzipWindow = 15 + 16;

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  std::string member(deflateBound(&stream, bytes.size()), '\0');
  // zlib writes through neither; its interface is older than const.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(member.data());
  stream.avail_out = static_cast<uInt>(member.size());
  const int result = deflate(&stream, Z_FINISH);
  member.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("gzip cannot compress a block");
  return member;
}

std::string zstd(std::string_view bytes) {
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size =
      ZSTD_compress(frame.data(), frame.size(), bytes.data(), bytes.size(), ZSTD_CLEVEL_DEFAULT);
  if (ZSTD_isError(size) != 0) {
    throw std::runtime_error(
        fmt::format("zstd cannot compress a block: {}", ZSTD_getErrorName(size)));
  }
  frame.resize(size);
  return frame;
}

}  // namespace

Compression compression_of(std::string_view file_name) {
  if (file_name.ends_with(".gz")) return Compression::kGzip;
  if (file_name.ends_with(".zst")) return Compression::kZstd;
  return Compression::kNone;
}

std::string_view content_name(std::string_view file_name) {
  if (compression_of(file_name) == Compression::kNone) return file_name;
  return file_name.substr(0, file_name.rfind('.'));
}

std::string compress(Compression compression, std::string_view bytes) {
  switch (compression) {
    case Compression::kGzip:
      return gzip(bytes);
    case Compression::kZstd:
      return zstd(bytes);
    case Compression::kNone:
      break;
  }
  return std::string(bytes);
}

class InputContent::Decoder {
 public:
  Decoder() = default;
  virtual ~Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// Takes from the beginning of `in` and returns how many bytes of `out` it filled. Throws
  /// std::runtime_error saying what is wrong with the bytes.
  virtual std::size_t decode(std::string_view& in, std::vector<char>& out) = 0;
  /// Whether a file may end here.
  virtual bool whole() const = 0;
};

class InputContent::GzipDecoder final : public Decoder {
 public:
  GzipDecoder() {
    if (inflateInit2(&stream_, kGzipWindow) != Z_OK) throw std::bad_alloc();
  }
  ~GzipDecoder() override { inflateEnd(&stream_); }

  std::size_t decode(std::string_view& in, std::vector<char>& out) override {
    if (whole_) inflateReset(&stream_);  // another member follows
    whole_ = false;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    in.remove_prefix(in.size() - stream_.avail_in);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      throw std::runtime_error(
          fmt::format("is not gzip: {}", stream_.msg != nullptr ? stream_.msg : "damaged"));
    }
    whole_ = result == Z_STREAM_END;
    return out.size() - stream_.avail_out;
  }
  bool whole() const override { return whole_; }

 private:
  z_stream stream_{};
  bool whole_ = false;
};

class InputContent::ZstdDecoder final : public Decoder {
 public:
  std::size_t decode(std::string_view& in, std::vector<char>& out) override {
    ZSTD_inBuffer taken{in.data(), in.size(), 0};
    ZSTD_outBuffer given{out.data(), out.size(), 0};
    const std::size_t result = ZSTD_decompressStream(stream_.get(), &given, &taken);
    in.remove_prefix(taken.pos);
    if (ZSTD_isError(result) != 0) {
      throw std::runtime_error(fmt::format("is not zstd: {}", ZSTD_getErrorName(result)));
    }
    whole_ = result == 0;
    return given.pos;
  }
  bool whole() const override { return whole_; }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };
  std::unique_ptr<ZSTD_DStream, Free> stream_{ZSTD_createDStream()};
  bool whole_ = false;
};

InputContent::InputContent(const std::string& file)
    : name_(file == "-" ? "stdin" : file),
      descriptor_(file == "-" ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC)),
      owned_(file != "-"),
      block_(kBlockBytes) {
  if (descriptor_ < 0) {
    throw std::runtime_error(fmt::format("{} cannot be read: {}", name_, std::strerror(errno)));
  }
  struct stat status{};
  if (::fstat(descriptor_, &status) == 0) {
    if (S_ISDIR(status.st_mode)) {
      if (owned_) ::close(descriptor_);
      throw std::runtime_error(
          fmt::format("{} is a directory; a file with one request a line is expected", name_));
    }
    if (S_ISREG(status.st_mode) && owned_) {
      identity_ = {static_cast<std::uint64_t>(status.st_size),
                   status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
    }
  }
  const Compression compression = compression_of(name_);
  if (compression == Compression::kNone) return;
  content_.resize(kBlockBytes);
  if (compression == Compression::kGzip) {
    decoder_ = std::make_unique<GzipDecoder>();
  } else {
    decoder_ = std::make_unique<ZstdDecoder>();
  }
}

InputContent::~InputContent() {
  if (owned_) ::close(descriptor_);
}

bool InputContent::read_block() {
  ssize_t read = 0;
  do {
    read = ::read(descriptor_, block_.data(), block_.size());
  } while (read < 0 && errno == EINTR);
  if (read < 0) {
    throw std::runtime_error(
        fmt::format("{} cannot be read to its end: {}", name_, std::strerror(errno)));
  }
  bytes_read_ += static_cast<std::uint64_t>(read);
  undecoded_ = {block_.data(), static_cast<std::size_t>(read)};
  return read > 0;
}

InputContent::int_type InputContent::underflow() {
  if (!decoder_) {
    if (!read_block()) return traits_type::eof();
    setg(block_.data(), block_.data(), block_.data() + undecoded_.size());
    return traits_type::to_int_type(*gptr());
  }
  for (;;) {
    // A decoder may hold content back until it is asked again, without more to take; at a member's
    // end it holds none.
    if (undecoded_.empty() && !held_back_ && !read_block()) {
      if (decoder_->whole()) return traits_type::eof();
      throw std::runtime_error(
          fmt::format("{} is cut short: its compressed content has no end", name_));
    }
    std::size_t filled = 0;
    try {
      filled = decoder_->decode(undecoded_, content_);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("{} {}", name_, error.what()));
    }
    held_back_ = filled == content_.size() && !decoder_->whole();
    if (filled == 0) continue;
    setg(content_.data(), content_.data(), content_.data() + filled);
    return traits_type::to_int_type(*gptr());
  }
}

}  // namespace fovea::api
