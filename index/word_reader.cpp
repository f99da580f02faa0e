#include "index/word_reader.h"

#include <libstemmer.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "index/function_words.h"

namespace fovea::index {
namespace {

constexpr std::size_t kWordCharactersMax = 64;
constexpr const char* kNoStemming = "none";

enum class Kind { kSeparator, kInWord, kWordOfItsOwn };

/// Scripts that write words without spaces between them.
bool without_spaces(utf8proc_int32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) ||  // Hiragana, Katakana
         (c >= 0x3400 && c <= 0x9FFF) ||  // Han
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x3FFFF);
}

Kind kind_of(utf8proc_int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return without_spaces(c) ? Kind::kWordOfItsOwn : Kind::kInWord;
    case UTF8PROC_CATEGORY_SO:
      return Kind::kWordOfItsOwn;
    default:
      return Kind::kSeparator;
  }
}

/// Collects the characters of one word and hands it on when it ends.
class Collected {
 public:
  explicit Collected(const std::function<void(const FoldedWord&)>& visit) : visit_(visit) {}

  /// `begin` and `end` are those of the character that c was folded from.
  void add(utf8proc_int32_t c, std::size_t begin, std::size_t end) {
    if (characters_ == 0) begin_ = begin;
    end_ = end;
    if (++characters_ > kWordCharactersMax) return;
    std::array<utf8proc_uint8_t, 4> encoded{};
    const auto n = utf8proc_encode_char(c, encoded.data());
    folded_.append(encoded.begin(), encoded.begin() + n);
  }
  void finish() {
    if (characters_ == 0) return;
    visit_({folded_, begin_, end_});
    folded_.clear();
    characters_ = 0;
  }

 private:
  const std::function<void(const FoldedWord&)>& visit_;
  std::string folded_;
  std::size_t characters_ = 0;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace

void for_each_word(std::string_view text, const std::function<void(const FoldedWord&)>& visit) {
  constexpr int kFold = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                        UTF8PROC_STRIPMARK | UTF8PROC_IGNORE;
  Collected word(visit);
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t c = 0;
    const auto read =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    if (read <= 0) {
      word.finish();
      ++at;
      continue;
    }
    const std::size_t end = at + static_cast<std::size_t>(read);
    // The longest decomposition of one code point is 18 (U+FDFA).
    std::array<utf8proc_int32_t, 32> folded{};
    int boundary = 0;
    const auto n = utf8proc_decompose_char(c, folded.data(), folded.size(),
                                           static_cast<utf8proc_option_t>(kFold), &boundary);
    if (n < 0 || n > static_cast<utf8proc_ssize_t>(folded.size())) word.finish();
    for (std::size_t i = 0; n > 0 && i < std::min(static_cast<std::size_t>(n), folded.size());
         ++i) {
      const Kind kind = kind_of(folded[i]);
      if (kind != Kind::kInWord) word.finish();
      if (kind != Kind::kSeparator) word.add(folded[i], at, end);
      if (kind == Kind::kWordOfItsOwn) word.finish();
    }
    at = end;
  }
  word.finish();
}

Stemmer::Stemmer(const std::string& language) : function_words_(function_words(language)) {
  if (language == kNoStemming) return;
  const auto known = stemmer_languages();
  // Not left to the library, which also takes abbreviations and other encodings' names.
  if (std::ranges::find(known, language) != known.end()) {
    stemmer_ = sb_stemmer_new(language.c_str(), "UTF_8");
  }
  if (stemmer_ == nullptr) {
    std::string message = "the language '" + language + "' has no stems; one of these is expected:";
    for (const auto& name : known) message += " " + name;
    throw std::invalid_argument(message);
  }
}

Stemmer::~Stemmer() { sb_stemmer_delete(stemmer_); }

std::string_view Stemmer::stem(std::string_view folded) {
  if (stemmer_ == nullptr) return folded;
  const auto* stem = sb_stemmer_stem(stemmer_, reinterpret_cast<const sb_symbol*>(folded.data()),
                                     static_cast<int>(folded.size()));
  if (stem == nullptr) return folded;  // out of memory
  return {reinterpret_cast<const char*>(stem),
          static_cast<std::size_t>(sb_stemmer_length(stemmer_))};
}

std::vector<std::string> stemmer_languages() {
  std::vector<std::string> names;
  for (const char** name = sb_stemmer_list(); *name != nullptr; ++name) names.emplace_back(*name);
  std::ranges::sort(names);
  names.insert(names.begin(), kNoStemming);
  return names;
}

}  // namespace fovea::index
