// What a version says of itself: what it was learned from, with which recipe, and how well it does.
// Owns card.json's text; which files a version has and whether they are whole is models'.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "engine/split.h"
#include "ranking/train_options.h"

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
  std::size_t continued = 0;   ///< Trainings since the one that went on from none.
  std::string replaced;        ///< The version that served when it was published; empty: none did.
  std::uint64_t catalog_revision =
      0;  ///< Items put later are not in the arrays and are encoded when loaded.
  std::int64_t trained_ms = 0;
  /// What encodes texts: "lsa", or the name of the folder that a sentence encoder was read from.
  std::string text_encoder = "lsa";
  std::string device;  ///< That the encoder was trained on: "CPU" or a GPU by its name.
  /// By name: "validation_.." as its training stopped by, "test_.." as the gate measured it.
  std::map<std::string, double> metrics;
  std::string fovea_version;
};

/// What a file of a version must be.
struct FileSum {
  std::uintmax_t bytes = 0;
  std::string sha256;
};
using FileSums = std::map<std::string, FileSum>;  ///< By name in the version's folder.

struct Card {
  VersionCard version;
  FileSums files;
};

std::string to_text(const Card& card);

/// Throws std::runtime_error where the card is of another format, and what Boost.JSON throws on
/// text that is no card.
Card parse_card(std::string_view text);

}  // namespace fovea::engine
