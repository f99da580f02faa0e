// Where, how wide and how exactly an op runs. Passed to every op, so that nothing about the device
// is global.
#pragma once

#include <cstddef>
#include <functional>

namespace fovea::ranking {

class Device;

/// What matrix products are computed in. Everything else, and every sum, is in 32-bit floats.
enum class Products : bool {
  kFloat32,   ///< TF32 off.
  kBfloat16,  ///< Factors rounded to bfloat16 first; on a device only, the CPU knows float32.
};

/// Thrown out of long work that its caller no longer wants.
struct Stopped {};

struct Context {
  int threads = 1;  ///< Threads an op may use, the caller's included. A request thread passes 1.
  /// What every array that an op is given lies on; null: the host's memory, and the CPU computes.
  /// Owned by the caller, who outlives everything that was allocated on it.
  Device* device = nullptr;
  Products products = Products::kFloat32;
  /// Asked between the parts of long work, each a fraction of a millisecond, whether to leave it,
  /// by any of the threads. Null: it is finished. Owned by the caller.
  const std::function<bool()>* stop = nullptr;

  void check_stop() const {
    if (stop != nullptr && (*stop)()) throw Stopped();
  }

  /// How much of a large result is to be held at once: on the CPU what stays in the cache, on a
  /// device what keeps all of it busy.
  struct Tile {
    std::size_t floats;
    std::size_t rows_max;
  };
  constexpr Tile tile() const {
    return device == nullptr ? Tile{std::size_t{1} << 21, 512} : Tile{std::size_t{1} << 26, 4096};
  }
};

}  // namespace fovea::ranking
