// The bearer tokens of a file, and what is asked for one. Keeps digests: what lies in memory opens
// no door.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <string_view>
#include <vector>

namespace fovea::api {

/// What a method of the contract, or a path, does to the store. The first is what a row of a table
/// has that says nothing: a new one is guarded until somebody has thought about it.
enum class Access {
  kChanges,
  kReads,  ///< What the asker names.
  kLists,  ///< What there is, to one who names nothing: users, versions, experiments.
};

/// Thread-safe.
class Tokens {
 public:
  static constexpr std::size_t kTokenBytesMin = 16;

  /// One token a line; blank lines and those that begin with # are left out. Throws
  /// std::runtime_error with a sentence: the file is missing, is open to others, has no token, or
  /// one that is too short or cannot stand in a header.
  static Tokens read(const std::filesystem::path& file);

  /// Takes as long whatever is asked for and whichever there are.
  bool contain(std::string_view token) const;

 private:
  using Digest = std::array<unsigned char, 32>;  // SHA-256

  std::vector<Digest> digests_;
};

}  // namespace fovea::api
