// Words that hold a sentence together and say little of what it is about: articles, pronouns,
// prepositions, auxiliary verbs. Owns the lists, by language.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>

namespace fovea::index {

/// By word, folded as for_each_word() folds. They live as long as the program. Empty for a language
/// without a list.
const std::unordered_set<std::string_view>& function_words(const std::string& language);

}  // namespace fovea::index
