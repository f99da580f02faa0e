// Declarations of experiments: whatever TOML says, it is refused with file and line, or its
// experiments keep their promises: a unit is in one experiment of a layer at a time, in a variant
// that there is. The unit is the last byte.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

#include "api/experiments_config.h"
#include "api/toml.h"
#include "engine/assignment.h"

namespace {

bool at_one_time(const fovea::engine::Experiment& a, const fovea::engine::Experiment& b) {
  constexpr auto kNever = std::numeric_limits<std::int64_t>::max();
  return a.start_ms.value_or(0) < b.end_ms.value_or(kNever) &&
         b.start_ms.value_or(0) < a.end_ms.value_or(kNever);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size - 1);
  const std::string unit(1, static_cast<char>(data[size - 1]));
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error&) {
    return 0;  // toml++'s own matter
  } catch (const fovea::api::TomlAssertion&) {
    return 0;
  }
  const toml::node* declared = table.get("experiment");
  if (declared == nullptr) return 0;
  try {
    const auto experiments = fovea::api::read_experiments("fuzz.toml", *declared);
    for (const auto& one : experiments) {
      const auto variant = fovea::engine::assign(one, unit);
      if (!variant) continue;
      if (*variant >= one.variants.size() || one.variants[*variant].weight <= 0) std::abort();
      for (const auto& other : experiments) {
        if (&one != &other && one.layer == other.layer && at_one_time(one, other) &&
            fovea::engine::assign(other, unit)) {
          std::abort();
        }
      }
    }
  } catch (const std::runtime_error& error) {
    if (!std::string_view(error.what()).starts_with("fuzz.toml:")) std::abort();
  }
  return 0;
}
