#include "api/console_assets.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>

namespace fovea::api {
namespace {

/// Of the digest in a tag; more tell nothing from each other that these do not.
constexpr std::size_t kTagDigits = 32;

std::vector<Asset> all_assets() {
  std::vector<Asset> assets;
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.name == "index.html") assets.push_back({"/", &file});
    assets.push_back({fmt::format("/console/{}", file.name), &file});
  }
  return assets;
}

}  // namespace

std::string_view Asset::gzip() const {
  return {reinterpret_cast<const char*>(file->gzip.data()), file->gzip.size()};
}

std::string Asset::plain() const {
  constexpr int kGzipOnly = MAX_WBITS + 16;
  z_stream stream{};
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) throw std::bad_alloc();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> ended(&stream, inflateEnd);
  stream.next_in = const_cast<unsigned char*>(file->gzip.data());  // which zlib only reads
  stream.avail_in = static_cast<unsigned>(file->gzip.size());
  std::string content;
  std::array<char, 1 << 16> block;
  int result = Z_OK;
  while (result == Z_OK) {
    stream.next_out = reinterpret_cast<unsigned char*>(block.data());
    stream.avail_out = static_cast<unsigned>(block.size());
    result = inflate(&stream, Z_NO_FLUSH);
    content.append(block.data(), block.size() - stream.avail_out);
  }
  if (result != Z_STREAM_END) {
    throw std::logic_error(fmt::format("{} was compiled in damaged", path));
  }
  return content;
}

std::string Asset::etag(bool compressed) const {
  return fmt::format("\"{}{}\"", file->digest.substr(0, kTagDigits), compressed ? "-gzip" : "");
}

const std::vector<Asset>& console_assets() {
  static const std::vector<Asset> kAssets = all_assets();
  return kAssets;
}

const Asset* find_asset(std::string_view path) {
  const auto& assets = console_assets();
  const auto found = std::find_if(assets.begin(), assets.end(),
                                  [&](const Asset& asset) { return asset.path == path; });
  return found == assets.end() ? nullptr : &*found;
}

}  // namespace fovea::api
