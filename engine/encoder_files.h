// The files of a sentence encoder: which they are, what must be in them, and how they come from a
// folder that somebody named, or from a version, into another version's folder. What they say is
// ranking/sentence_folder's.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/version_card.h"
#include "ranking/sentence_encoder.h"

namespace fovea::engine {

/// A folder in Hugging Face's layout: where it lies, and what was in it when it was looked at.
struct EncoderFiles {
  std::filesystem::path folder;
  std::string name;  ///< For people: that of the folder which was named first.
  FileSums sums;     ///< By name in `folder`; other files there are nobody's business.

  /// Of a folder that somebody names; every file is read once. Throws InvalidRequest where it is no
  /// folder or lacks a file that every encoder has, VersionError where one cannot be read.
  static EncoderFiles of(const std::filesystem::path& folder);
  /// Of a version, by its card; absent: it encodes by LSA. Reads nothing.
  static std::optional<EncoderFiles> of_version(const std::filesystem::path& version,
                                                const Card& card);

  /// Whether a version has any, damaged or not.
  static bool are_in(const std::filesystem::path& version);

  /// Throws VersionError unless the files are what `sums` says.
  void check() const;
  /// Throws ranking::WeightsError where they are no encoder.
  std::shared_ptr<const ranking::SentenceEncoder> load() const;
  /// Equal where a text gets the same vector: a SHA-256 of the files' and of this program's
  /// version.
  std::string id() const;
  /// Makes them files of a version that is being written, and durable: as further names of the same
  /// bytes where `folder` is of another version beside it, else copied. Returns their sums by name
  /// in `version`. Throws VersionError where a file is not what `sums` says any more.
  FileSums put(const std::filesystem::path& version) const;
};

/// Whether `name`, in a version's card, is that of an encoder's file.
bool is_encoder_file(std::string_view name);

/// A further name of a file's bytes where the file system has such, a copy elsewhere; durable.
void link_or_copy(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace fovea::engine
