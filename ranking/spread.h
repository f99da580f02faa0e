// Spreads a loop over threads. Which thread takes which part changes from run to run, so parts must
// not depend on each other; what each of them computes then does not depend on the number of
// threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace fovea::ranking {

/// Calls `work(begin, end)` until the parts cover [0, n), on `threads` threads, the caller's
/// included. `work` must not throw.
template <typename Work>
void spread(std::size_t n, int threads, const Work& work) {
  constexpr std::size_t kPart = 64;
  std::atomic<std::size_t> next = 0;
  const auto take = [&] {
    for (std::size_t begin = 0; (begin = next.fetch_add(kPart)) < n;) {
      work(begin, std::min(begin + kPart, n));
    }
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads && n > kPart; ++i) others.emplace_back(take);
  take();
}

}  // namespace fovea::ranking
