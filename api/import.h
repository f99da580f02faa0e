// Items and events from files into a store: checks everything, then writes everything. Owns the two
// passes and what is said about bad lines; formats are records', fields json's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/progress.h"
#include "api/records.h"
#include "storage/catalog.h"

namespace fovea::api {

struct ImportOptions {
  std::filesystem::path data;            ///< The data directory; created where missing.
  std::optional<std::string> items;      ///< A file, or "-" for stdin.
  std::optional<std::string> events;     ///< A file, or "-" for stdin; not both.
  std::optional<Format> format;          ///< Of both; absent: told from name and content.
  std::uint64_t errors_max = 100;        ///< Bad lines that are skipped; one more stops the import.
  std::vector<storage::Action> actions;  ///< Declared so first, those declared before included.
};

struct ImportSummary {
  std::uint64_t items = 0;                    ///< Lines with an item.
  std::uint64_t items_new = 0;                ///< Items that were not in the catalogue.
  std::uint64_t events = 0;                   ///< Lines with an event.
  std::uint64_t events_new = 0;               ///< The others were in the store already.
  std::uint64_t events_of_unknown_items = 0;  ///< Kept; ignored in ranking until the item arrives.
  std::uint64_t skipped = 0;                  ///< Bad lines.
  double seconds = 0;
};

/// Nothing was written; what() is a sentence.
struct ImportError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Bad lines are reported as "FILE:LINE: sentence". Actions that are not declared yet are declared
/// with weight 1. Items are written before events, events in the order of the file. Importing the
/// same files again adds nothing, as long as events have a time or an id. Throws ImportError;
/// storage::StoreError when the store cannot be opened or written.
ImportSummary import_files(const ImportOptions& options, Progress& progress);

}  // namespace fovea::api
