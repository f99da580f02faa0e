// What an engine tells of itself beside Status, for whoever looks after it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fovea::engine {

/// An index of the version that serves, in items.
struct IndexFigures {
  std::string name;  ///< "items" or "texts"
  std::string kind;  ///< Of its main part, such as "exact".
  std::size_t main = 0;
  std::size_t fresh = 0;        ///< Put since; all of them are compared by every search.
  std::size_t out_of_main = 0;  ///< Of main, removed or replaced.
  bool rebuilding = false;
};

/// Of a GPU, since it was opened. What waited together is a batch.
struct GpuBatches {
  std::uint64_t batches = 0;
  std::uint64_t requests = 0;
  std::uint64_t largest = 0;
};

struct GpuFigures {
  std::size_t bytes = 0;  ///< Of its memory, by estimate.
  std::size_t bytes_max = 0;
  GpuBatches batches;
};

/// Of the experiments that are served, since the start or since the experiment was declared.
struct VariantExposures {
  std::string experiment;
  std::string variant;          ///< kInterleaved: lists that both variants made.
  std::uint64_t exposures = 0;  ///< Lists that were written down as shown to its units.
};

struct EngineFigures {
  std::vector<IndexFigures> indexes;  ///< Empty: no version serves.
  std::optional<GpuFigures> gpu;      ///< Absent: there is none, or none is wanted.
  std::vector<VariantExposures> exposures;
};

}  // namespace fovea::engine
