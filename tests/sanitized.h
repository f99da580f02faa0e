// How much a test does where sanitizers make it take ten times as long. They look for wrong
// accesses, which a shorter loop over every path meets as well; what needs the numbers is shown by
// the build without them.
#pragma once

namespace fovea {

template <typename T>
constexpr T unless_sanitized([[maybe_unused]] T many, [[maybe_unused]] T few) {
#ifdef FOVEA_SANITIZED
  return few;
#else
  return many;
#endif
}

}  // namespace fovea
