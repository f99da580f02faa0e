// The files of the console's page, which are part of the program: what a browser asks for by path.
// Owns their bytes, types and names; headers and status codes are console_dispatch's.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::api {

/// A file as the build made it.
struct EmbeddedFile {
  std::string_view name;  ///< "main.js"
  std::string_view content_type;
  std::string_view digest;              ///< Of `gzip`, SHA-256 in hex.
  std::span<const unsigned char> gzip;  ///< One gzip member.
};

/// Every file of api/console/, then Chart.js. Defined by cmake/embed_files.cmake.
std::span<const EmbeddedFile> embedded_files();

/// What is answered at a path.
struct Asset {
  std::string path;  ///< "/console/main.js"
  const EmbeddedFile* file;

  std::string_view gzip() const;
  std::string plain() const;  ///< Decompressed, anew in each call; some hundred kB take a ms.
  /// A strong entity tag with its quotes; the two forms' differ, since their bytes do.
  std::string etag(bool compressed) const;
};

/// "/", which is index.html, and "/console/NAME" for every file.
const std::vector<Asset>& console_assets();
/// Null: there is none.
const Asset* find_asset(std::string_view path);

}  // namespace fovea::api
