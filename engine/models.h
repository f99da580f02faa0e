// Model versions on disk: DATA/versions/<version>/ and the file DATA/versions/CURRENT that names
// the one to serve. Owns the files, their checks and the atomic publish; learns nothing and ranks
// nothing.
//
// A version's folder holds
//   card.json           what it is (VersionCard), and size and SHA-256 of every other file
//   model.safetensors   text space, text vectors, popularity; where something was learned also
//                       encoder, ranker, transitions and item vectors
//   items.faiss         index over item vectors, if learned
//   texts.faiss         index over text vectors
//   training.jsonl      one line for each epoch, if learned
//   goldens.json        requests and the scores they must give (engine/goldens), if learned
//   text_encoder/       a sentence encoder as it was read, if one encodes the texts
//                       (engine/encoder_files); versions beside each other share its bytes
//   PUBLISHED           what CURRENT held when it was published
// CURRENT holds one line, "<version> <SHA-256 of card.json>", so that every byte is covered.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/encoder_files.h"
#include "engine/files.h"
#include "engine/version_card.h"
#include "index/vector_index.h"
#include "ranking/model.h"
#include "ranking/text_space.h"
#include "ranking/trainer.h"

namespace fovea::engine {

/// One version in memory. Arrays are by row. Immutable once loaded or handed to publish().
struct Version {
  VersionCard card;
  ranking::TextSpace text_space;
  std::optional<EncoderFiles> encoder;  ///< Of the text space's sentence encoder; absent: LSA.
  std::vector<float> texts;             ///< [V, K], zeros where an item has no text or is absent.
  std::vector<float> log_popularity;    ///< [V], log(1 + training behaviours).
  std::vector<ranking::TrainProgress> log;  ///< Of every epoch; written, never read back.
  std::optional<ranking::Model> model;      ///< Absent: too few behaviours to learn from.
  std::vector<float> vectors;               ///< [V, D], empty without a model.
  std::unique_ptr<const index::VectorIndex> item_index;  ///< Null without a model.
  std::unique_ptr<const index::VectorIndex> text_index;
};

/// A version whose files are on the disk under a name that nobody serves. They go with the object
/// unless it is published.
class Draft {
 public:
  ~Draft();
  Draft(Draft&& other) noexcept;

  VersionCard& card() { return card_.version; }  ///< May be changed until it is published.
  const VersionCard& card() const { return card_.version; }
  /// As it would be loaded to serve, every file and score checked. Throws VersionError.
  Version load() const;

 private:
  friend class Versions;
  explicit Draft(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;  // empty: published, or moved from
  Card card_;
};

/// A version as a list shows it.
struct ListedVersion {
  std::string name;
  bool current = false;
  std::optional<VersionCard> card;  ///< Absent: damaged.
  std::string complaint;            ///< Why.
};

/// The versions of one data directory. Processes may read while one publishes.
class Versions {
 public:
  explicit Versions(const std::filesystem::path& data_directory);

  /// What CURRENT names; absent: nothing was published. Throws VersionError when CURRENT cannot be
  /// read.
  std::optional<std::string> current() const;
  /// Loads what CURRENT names; another version is refused. Throws VersionError.
  Version load(std::string_view version) const;
  /// Loads any version of the directory, to learn from and not to serve: its files are checked
  /// against its card, its card against what was published. Throws VersionError.
  Version load_older(std::string_view version) const;
  /// The files of the current version's sentence encoder, checked; absent: LSA encodes, or no
  /// version can serve. Throws VersionError where they are damaged.
  std::optional<EncoderFiles> encoder() const;
  /// The text of a version's training.jsonl, checked; empty where nothing was learned. Throws
  /// VersionError where the version is unknown or damaged.
  std::string training_log(std::string_view version) const;
  /// Of every version, oldest first, the card; what else a folder holds is not looked at.
  std::vector<ListedVersion> list() const;

  /// Writes and syncs a version's files, to be published once it has been judged.
  Draft write(Version version) const;
  /// Renames the draft's folder, then replaces CURRENT: a reader sees the old version or the new
  /// one. Deletes the oldest beyond `kept`, never the current one or the one that it replaced.
  /// Returns the version's name. Throws Unavailable when another version has become current since
  /// the draft was written, with which nobody has compared it.
  std::string publish(Draft draft, std::size_t kept) const;
  std::string publish(Version version, std::size_t kept) const;

  /// Makes a published version current again, as publish() does, after loading it whole. `to`
  /// absent: the one that the current version replaced. Returns its name. Throws InvalidRequest
  /// when it serves already or there is none, VersionError when it is unknown or damaged.
  std::string roll_back(std::optional<std::string_view> to) const;

  /// Copies what was published to another data directory, which has none yet: each version whole
  /// and checked, and what is current; publishing waits meanwhile. A damaged version that does not
  /// serve is left out. Durable when it returns. Returns the names, oldest first. Throws
  /// VersionError when the current version is damaged, std::filesystem::filesystem_error when a
  /// file cannot be written.
  std::vector<std::string> copy_to(const std::filesystem::path& data_directory) const;

  /// A file that is locked until the object is gone, or its process.
  class Lock {
   public:
    ~Lock();
    Lock(Lock&& other) noexcept;

   private:
    friend class Versions;
    explicit Lock(int file) : file_(file) {}
    int file_;
  };
  /// Keeps the folder of a version from being deleted when others are published, by whatever
  /// process, while the object lives. Throws VersionError where there is no such version.
  Lock keep(std::string_view version) const;
  /// Held by whoever trains, so that two trainings do not run beside each other. Throws Unavailable
  /// when another process holds it.
  Lock lock_training() const;

  const std::filesystem::path& directory() const { return directory_; }  ///< DATA/versions

 private:
  Lock lock(const char* name, bool wait) const;
  void make_current(const std::string& line) const;

  std::filesystem::path directory_;
};

}  // namespace fovea::engine
