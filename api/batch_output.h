// Where a batch's answers go: stdout, or a file that is there whole or not at all. Owns the
// unfinished file, the notes from which a killed run goes on, and the name that it gets in the end;
// what an answer says is its callers'.
#pragma once

#include <boost/json.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "api/compression.h"

namespace fovea::api {

/// Answers are gathered into blocks that end with a line, by size alone, so that a run that goes on
/// at a block's end writes the bytes of one that was never killed. FILE.partial holds whole blocks
/// and at most one torn one; FILE.partial.json says what was begun and how far it got, a few times
/// a second and after the bytes are on the disk. Not thread-safe. Everything throws
/// std::runtime_error, a sentence that names the file.
class BatchOutput {
 public:
  struct Done {
    std::uint64_t lines = 0;  ///< Answered, bad ones included.
    std::uint64_t bad = 0;
  };

  /// "-" is stdout. Refused: a file that is there already, a folder that cannot be written to, an
  /// unfinished file that another process is writing.
  explicit BatchOutput(const std::string& file);
  ~BatchOutput();
  BatchOutput(const BatchOutput&) = delete;
  BatchOutput& operator=(const BatchOutput&) = delete;

  /// With what the unfinished file was begun; absent: there is nothing to go on with.
  std::optional<boost::json::object> begun_with() const;

  /// Goes on where the unfinished file was begun with the same, else begins with `head`. Returns
  /// how much is done. Refused, where there is an unfinished file: one begun with anything else,
  /// and one that lacks what its notes say.
  Done resume(const boost::json::object& with, std::string_view head);
  /// Begins with `head`, whatever was there. Without `with` nobody can go on with it.
  void begin(std::optional<boost::json::object> with, std::string_view head);

  /// What one line of the input was answered: no line, or several.
  void add(std::string_view answer, bool bad);
  /// Everything is on the disk, and the file gets its name.
  void finish();

 private:
  struct Notes {
    boost::json::object with;
    std::uint64_t bytes = 0;  // of the unfinished file
    Done done;
  };
  std::optional<Notes> read_notes() const;
  void write_notes();
  void write_block();
  void write(std::string_view bytes);
  [[noreturn]] void fail(std::string_view what) const;

  std::filesystem::path file_;
  std::filesystem::path partial_;
  std::filesystem::path notes_path_;
  Compression compression_ = Compression::kNone;
  int descriptor_;
  std::size_t block_bytes_;
  std::string block_;
  std::uint64_t bytes_ = 0;  // written
  Done done_;
  std::optional<boost::json::object> with_;  // absent: no notes are kept
  std::chrono::steady_clock::time_point noted_;
  bool finished_ = false;
};

}  // namespace fovea::api
