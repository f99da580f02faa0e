// Spreads a loop over threads. Which thread takes which part changes from run to run, so parts must
// not depend on each other; what each of them computes then does not depend on the number of
// threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <future>
#include <utility>
#include <vector>

namespace fovea::ranking {

/// Calls `work(begin, end)` for `part` at a time until they cover [0, n), on at most `threads`
/// threads, the caller's included. What `work` throws is thrown here, once all threads have ended.
template <typename Work>
void spread(std::size_t n, int threads, const Work& work, std::size_t part = 64) {
  std::atomic<std::size_t> next = 0;
  const auto take = [&] {
    for (std::size_t begin = 0; (begin = next.fetch_add(part)) < n;) {
      work(begin, std::min(begin + part, n));
    }
  };
  std::vector<std::future<void>> others;  // each waits for its thread when it goes
  for (std::size_t i = 1; std::cmp_less(i, threads) && i * part < n; ++i) {
    others.push_back(std::async(std::launch::async, take));
  }
  take();
  for (auto& other : others) other.get();
}

}  // namespace fovea::ranking
