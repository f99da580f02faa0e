// What a filter means, said once more and plainly: over an item's map of attributes, with nothing
// of engine/attributes and engine/filter.cpp's own comparisons. Shared by the tests and the fuzzer
// of filters.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "engine/filter.h"
#include "storage/catalog.h"

namespace fovea::engine {

template <typename Value>
bool plain_compare(Filter::Test test, const Value& given, const Value& bound) {
  switch (test) {
    case Filter::Test::kEqual:
      return given == bound;
    case Filter::Test::kLess:
      return given < bound;
    case Filter::Test::kLessOrEqual:
      return given <= bound;
    case Filter::Test::kGreater:
      return given > bound;
    case Filter::Test::kGreaterOrEqual:
      return given >= bound;
    case Filter::Test::kHas:
      break;
  }
  return true;
}

/// One value of an item against one of the filter.
inline bool plain_holds(Filter::Test test, const storage::AttributeValue& given,
                        const Filter::Value& bound) {
  if (const auto* number = std::get_if<double>(&given)) {
    return std::holds_alternative<double>(bound) &&
           plain_compare(test, *number, std::get<double>(bound));
  }
  if (const auto* flag = std::get_if<bool>(&given)) {
    return std::holds_alternative<bool>(bound) && plain_compare(test, *flag, std::get<bool>(bound));
  }
  if (!std::holds_alternative<std::string>(bound)) return false;
  const auto& wanted = std::get<std::string>(bound);
  if (const auto* text = std::get_if<std::string>(&given)) {
    return plain_compare(test, *text, wanted);
  }
  for (const auto& text : std::get<std::vector<std::string>>(given)) {
    if (plain_compare(test, text, wanted)) return true;
  }
  return false;
}

inline bool plain_matches(const Filter& filter,
                          const std::map<std::string, storage::AttributeValue>& attributes) {
  std::vector<bool> stack;
  std::size_t next = 0;
  for (const Filter::Step step : filter.steps()) {
    if (step == Filter::Step::kCompare) {
      const Filter::Comparison& comparison = filter.comparisons()[next++];
      const auto given = attributes.find(comparison.attribute);
      bool held = given != attributes.end() && comparison.test == Filter::Test::kHas;
      if (given != attributes.end()) {
        for (const auto& bound : comparison.values) {
          held = held || plain_holds(comparison.test, given->second, bound);
        }
      }
      stack.push_back(held);
    } else if (step == Filter::Step::kNot) {
      stack.back() = !stack.back();
    } else {
      const bool last = stack.back();
      stack.pop_back();
      stack.back() = step == Filter::Step::kAnd ? stack.back() && last : stack.back() || last;
    }
  }
  return stack.back();
}

}  // namespace fovea::engine
