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
// CURRENT holds one line, "<version> <SHA-256 of card.json>", so that every byte is covered.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/files.h"
#include "engine/split.h"
#include "index/vector_index.h"
#include "ranking/model.h"
#include "ranking/text_space.h"
#include "ranking/train_options.h"
#include "ranking/trainer.h"

namespace fovea::engine {

struct VersionCard {
  std::string version;  ///< Sorts by time: UTC yyyymmddThhmmss.mmmZ.
  Split split = Split::kNone;
  ranking::TrainOptions options;  ///< What it was trained with, its seed among them.
  std::size_t items = 0;          ///< V: rows the arrays cover, present in the catalogue or not.
  std::size_t users = 0;
  std::size_t behaviours = 0;  ///< In the training part of the split.
  std::int64_t newest_ms = 0;  ///< Time of the newest of these.
  std::string from;            ///< The version that it went on from; empty: from none.
  std::uint64_t catalog_revision =
      0;  ///< Items put later are not in the arrays and are encoded when loaded.
  std::int64_t trained_ms = 0;
  std::string device;  ///< That the encoder was trained on: "CPU" or a GPU by its name.
  std::map<std::string, double> metrics;  ///< Validation metrics by name.
  std::string fovea_version;
};

/// One version in memory. Arrays are by row. Immutable once loaded or handed to publish().
struct Version {
  VersionCard card;
  ranking::TextSpace text_space;
  std::vector<float> texts;           ///< [V, K], zeros where an item has no text or is absent.
  std::vector<float> log_popularity;  ///< [V], log(1 + training behaviours).
  std::vector<ranking::TrainProgress> log;  ///< Of every epoch; written, never read back.
  std::optional<ranking::Model> model;      ///< Absent: too few behaviours to learn from.
  std::vector<float> vectors;               ///< [V, D], empty without a model.
  std::unique_ptr<const index::VectorIndex> item_index;  ///< Null without a model.
  std::unique_ptr<const index::VectorIndex> text_index;
};

/// The versions of one data directory. Processes may read while one publishes.
class Versions {
 public:
  explicit Versions(const std::filesystem::path& data_directory);

  /// What CURRENT names; absent: nothing was published. Throws VersionError when CURRENT cannot be
  /// read.
  std::optional<std::string> current() const;
  /// Loads what CURRENT names; another version cannot be checked whole and is refused.
  /// Throws VersionError.
  Version load(std::string_view version) const;
  /// Loads any version of the directory, to learn from and not to serve: its files are checked
  /// against its card, its card against nothing. Throws VersionError.
  Version load_older(std::string_view version) const;

  /// Writes a folder under a temporary name, syncs it, renames it, then replaces CURRENT: a reader
  /// sees the old version or the new one. Deletes the oldest beyond `kept`, never the current one.
  /// Returns the version's name.
  std::string publish(Version version, std::size_t kept) const;

  /// Held by whoever trains, so that two trainings cannot publish over each other. Released by the
  /// destructor, and by the kernel when the process dies. Throws Unavailable when another process
  /// holds it.
  class TrainingLock {
   public:
    ~TrainingLock();
    TrainingLock(TrainingLock&& other) noexcept;

   private:
    friend class Versions;
    explicit TrainingLock(int file) : file_(file) {}
    int file_;
  };
  TrainingLock lock_training() const;

  const std::filesystem::path& directory() const { return directory_; }  ///< DATA/versions

 private:
  std::filesystem::path directory_;
};

}  // namespace fovea::engine
