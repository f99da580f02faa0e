// The places of a page while it is filled: which item may still stand on it under the request's
// caps. Knows no order and no score.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/attributes.h"
#include "engine/policy.h"
#include "engine/request.h"

namespace fovea::engine {

/// How many items of a page could stand on it under the request's caps, taken one after the other.
class Places {
 public:
  /// Both must outlive it.
  Places(const Attributes& attributes, std::span<const Cap> caps)
      : attributes_(attributes), caps_(caps), counts_(at_most(caps)) {}

  std::size_t taken() const { return taken_; }
  /// False, and nothing changes, where a cap is full.
  bool take(std::uint32_t row) {
    const auto keys = keys_of(row);
    const auto of_cap = [&](std::size_t c) { return std::span(keys[c]); };
    if (counts_.full(of_cap)) return false;
    counts_.add(of_cap);
    ++taken_;
    return true;
  }
  /// Counts in the caps and takes no place: on which page a pin stands is not known here.
  void pin(std::uint32_t row) {
    const auto keys = keys_of(row);
    counts_.add([&](std::size_t c) { return std::span(keys[c]); });
  }

 private:
  static std::vector<std::size_t> at_most(std::span<const Cap> caps) {
    std::vector<std::size_t> result;
    for (const Cap& cap : caps) result.push_back(static_cast<std::size_t>(cap.at_most));
    return result;
  }
  /// By cap.
  std::vector<std::vector<AttributeKey>> keys_of(std::uint32_t row) const {
    std::vector<std::vector<AttributeKey>> keys;
    for (const Cap& cap : caps_) keys.push_back(attributes_.values(row, cap.attribute));
    return keys;
  }

  const Attributes& attributes_;
  std::span<const Cap> caps_;
  CapCounts counts_;
  std::size_t taken_ = 0;
};

}  // namespace fovea::engine
