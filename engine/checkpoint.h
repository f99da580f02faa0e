// The state of a training that has not ended, so that a killed one goes on where it was. Owns the
// folder DATA/versions/checkpoint/ and when it is written; what a state holds is ranking's.
//
//   training.checkpoint   which training it is of, its epochs so far, and for each stage that has
//                         begun the file with its newest state, size and SHA-256; then its own
//                         SHA-256. Replaced once the state is on the disk
//   N.safetensors         a state
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ranking/trainer.h"

namespace fovea::engine {

/// Only while the training lock is held. Not thread-safe.
class Checkpoint {
 public:
  /// What two trainings have in common of which one may go on from the other: names for people, and
  /// values or, where those are long, their SHA-256.
  using Identity = std::vector<std::pair<std::string, std::string>>;

  /// `say` is told, in a sentence, what becomes of what lies there.
  Checkpoint(const std::filesystem::path& versions, Identity identity,
             std::function<void(const std::string&)> say);

  /// Takes up what lies there when it is of this training and undamaged; throws it away otherwise.
  void take_up();
  /// Deletes the folder.
  void remove();

  /// The epochs of the training that was taken up.
  const std::vector<ranking::TrainProgress>& log() const { return log_; }
  /// As in TrainWatch. Throws VersionError when the state was written by another program.
  std::optional<ranking::Weights> resume(const std::string& stage) const;
  /// Keeps a stage's newest state and the log. Passes over as many epochs as are needed to spend at
  /// most a fiftieth of the time on this; never over a stage's last one. A disk that refuses does
  /// not stop the training.
  void keep(const std::string& stage, bool last, const std::function<ranking::Weights()>& state,
            const std::vector<ranking::TrainProgress>& log);

 private:
  struct Kept {
    std::string file;
    std::uintmax_t bytes = 0;
    std::string sha256;
  };
  void read();
  std::optional<std::string> difference(const Identity& other) const;

  std::filesystem::path folder_;
  Identity identity_;
  std::function<void(const std::string&)> say_;
  std::map<std::string, Kept> stages_;
  std::vector<ranking::TrainProgress> log_;
  std::uint64_t files_ = 0;  // that were written; names the next
  std::chrono::steady_clock::time_point kept_;
  std::chrono::steady_clock::duration cost_{};
  bool refused_ = false;
};

}  // namespace fovea::engine
