// Waiting for what another thread is to bring about, in tests: long enough for any machine, and no
// longer than it takes.
#pragma once

#include <chrono>
#include <thread>

namespace fovea::api {

/// Whether `condition()` became true within 20 seconds.
template <typename Condition>
bool eventually(Condition condition) {
  for (int tries = 0; tries < 2000; ++tries) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return false;
}

}  // namespace fovea::api
