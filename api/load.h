// An open loop: requests are due at the times of a Poisson process whether or not the ones before
// are answered, and a latency counts from when its request was due. A closed loop would send less
// while the server is slow, and leave out the very latencies that matter (coordinated omission).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "api/latency_histogram.h"
#include "api/load_target.h"
#include "api/workload.h"
#include "ranking/random.h"

namespace fovea::api {

/// The times of a Poisson process: gaps are exponential, independent, 1 / rate long in the mean.
class Arrivals {
 public:
  Arrivals(double rate_per_s, std::uint64_t seed) : rate_per_s_(rate_per_s), random_(seed) {}
  /// Of the next arrival, from the beginning.
  std::chrono::nanoseconds next();

 private:
  double rate_per_s_;
  double at_s_ = 0;
  ranking::Random random_;
};

struct LoadOptions {
  double rate_per_s = 100;
  double seconds = 10;     ///< That are measured.
  double warm_up_s = 0;    ///< Before them, at the same rate: sent, and not counted.
  double drain_s_max = 5;  ///< After them, until the last is answered.
  std::uint64_t seed = 1;  ///< Of the arrivals.
};

struct LoadResult {
  double rate_per_s = 0;                          ///< As asked.
  std::size_t due = 0;                            ///< All that were, but for the warm-up's.
  std::array<std::size_t, kOutcomes> outcomes{};  ///< By Outcome; add up to `due`.
  std::size_t degraded = 0;                       ///< Of the answered.
  std::size_t queued = 0;                         ///< Found every slot taken and waited here.
  std::string first_failure;  ///< What the first that failed was told; empty: none did.
  double answered_per_s = 0;  ///< Over the time until the last answer.
  /// Of the answered, and of the unanswered as far as they had come. What failed early is left
  /// out: it would make the rest look fast.
  LatencyHistogram latency;
  /// Of the overloaded, from when each was sent: how soon its caller can do something else.
  LatencyHistogram refusal;
  /// How late this generator took requests up, whether or not a slot was free: its own share of a
  /// latency, and that of a machine that is busy elsewhere.
  LatencyHistogram lateness;
  double processor_s = 0;  ///< This process', which may be the server's too.
  double generator_s = 0;  ///< Of which the calling thread's.

  std::size_t of(Outcome outcome) const { return outcomes[static_cast<std::size_t>(outcome)]; }
  std::size_t failed() const { return due - of(Outcome::kAnswered); }
};

/// Runs on the calling thread, alone with its target. A request that finds every slot taken waits
/// in a queue as long as rate times duration, in the order due.
LoadResult run_load(Target& target, Workload& workload, const LoadOptions& options);

}  // namespace fovea::api
