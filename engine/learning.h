// From the store to a published version: behaviours to samples, texts to vectors, train, build the
// indexes, publish. Owns what is learned from; the formulas are ranking's, the files are models'.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gpu_options.h"
#include "engine/models.h"
#include "engine/split.h"
#include "ranking/trainer.h"
#include "storage/db.h"

namespace fovea::engine {

struct LearnOptions {
  // Behaviour.
  Split split = Split::kNone;  ///< What evaluate will find held out.
  ranking::TrainOptions train;
  std::string from;  ///< A version to go on from, or "CURRENT"; empty: starts from nothing.
  /// What encodes texts: "lsa", or the folder of a sentence encoder (ranking/sentence_encoder).
  /// Absent: what the current version has, of which `from` keeps its own in any case; LSA at first.
  std::optional<std::string> text_encoder;
  /// What the encoder is trained on, in 32-bit floats. The same seed gives the same version on the
  /// same GPU, and not that of the CPU: sums have another order.
  DeviceChoice device = DeviceChoice::kCpu;
  bool fresh = false;  ///< Throws away what a killed training left, also where it could be resumed.
  bool force = false;  ///< Publishes without asking the gate.
  /// Older ones are deleted after publishing, but for the one that served until then; at least 1.
  std::size_t versions_kept = 5;
  /// Ends the training with Stopped at the end of its epoch or stage, which is kept as a killed
  /// one's is.
  std::stop_token stop;
};

/// LearnOptions::stop was asked to.
struct Stopped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct LearnProgress {
  std::string stage;    ///< As in TrainProgress, and "read", "from", "text", "checkpoint",
                        ///< "index", "gate", "publish".
  std::string message;  ///< One line for people: loss, validation metric, seconds.
  /// Of a step that comes again and again as its work goes on; `of` is 0 for all others.
  std::uint64_t done = 0, of = 0;
};

struct LearnResult {
  std::string version;
  std::size_t items = 0;
  std::size_t users = 0;
  std::size_t behaviours = 0;             ///< In the training part of the split.
  bool has_model = false;                 ///< False: too few behaviours, text and popularity only.
  std::string from;                       ///< The version that it went on from; empty: from none.
  std::map<std::string, double> metrics;  ///< As in the version's card; empty without a model.
  std::vector<ranking::TrainProgress> log;  ///< Of every epoch, also of those before a kill.
  double seconds = 0;
};

/// A version in memory, not published: nothing in the data directory changes, no checkpoint is
/// written, options.from is not read and without options.text_encoder LSA encodes. Throws as
/// learn() does.
Version learn_version(storage::Db& db, const LearnOptions& options,
                      const std::function<void(const LearnProgress&)>& progress);

/// Works on a store without behaviours too: then the text space is fitted and indexed, so that the
/// catalogue can be searched. Runs beside a serving process. Throws InvalidRequest when the
/// catalogue is empty, when `from` cannot be gone on from or `text_encoder` is no folder of one,
/// ranking::WeightsError where it holds no encoder that can be read, Unavailable when another
/// training of the same directory is under way, ranking::DeviceError when a GPU that was asked for
/// is not there, or is lost, and NotPublished when the gate (engine/gate) keeps the version back:
/// nothing of it stays then but its checkpoint, so that the same training with `force` publishes it
/// without another epoch. What a training keeps of itself in DATA/versions/checkpoint is gone when
/// it has published. A version that knows texts only is published without asking.
LearnResult learn(const std::filesystem::path& data_directory, const LearnOptions& options,
                  const std::function<void(const LearnProgress&)>& progress);

}  // namespace fovea::engine
