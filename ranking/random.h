// Random numbers that are a pure function of a seed, so that a training can be repeated on any
// machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace fovea::ranking {

/// A well-mixed 64-bit function of its argument (SplitMix64: Steele, Lea, Flood 2014).
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// The same for 32 bits (the finaliser of MurmurHash3, Appleby); narrow, so that loops over it
/// vectorise.
constexpr std::uint32_t mix32(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85EBCA6BU;
  x = (x ^ (x >> 13)) * 0xC2B2AE35U;
  return x ^ (x >> 16);
}

/// A stream of numbers; not thread-safe, cheap to copy.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(mix(seed)) {}
  /// Goes on where a stream of this state() stood.
  static Random at(std::uint64_t state) {
    Random random(0);
    random.state_ = state;
    return random;
  }
  std::uint64_t state() const { return state_; }

  std::uint64_t next() { return mix(state_++); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  std::size_t below(std::size_t n) {
    return static_cast<std::size_t>(uniform() * static_cast<double>(n));
  }
  float normal() {  // Box-Muller
    const double u = 1.0 - uniform();
    return static_cast<float>(std::sqrt(-2.0 * std::log(u)) *
                              std::cos(2.0 * std::numbers::pi * uniform()));
  }

 private:
  std::uint64_t state_;
};

}  // namespace fovea::ranking
