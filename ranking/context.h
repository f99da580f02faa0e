// Where and how wide an op runs. Passed to every op, so that nothing about the device is global.
#pragma once

namespace fovea::ranking {

struct Context {
  int threads = 1;  ///< Threads an op may use, the caller's included. A request thread passes 1.
};

}  // namespace fovea::ranking
