// Text to features: the words and character n-grams that text_encoder.h promises.
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "ranking/text_encoder.h"

namespace fovea::ranking {
namespace {

constexpr std::size_t kTextBytesMax = 64 << 10;
constexpr std::size_t kShortestGram = 3;
constexpr std::size_t kLongestGram = 5;

bool in_word(utf8proc_int32_t code_point) {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

// Collects the code points of one word and adds its features when it ends.
class Word {
 public:
  explicit Word(std::vector<std::string>& features) : features_(features) {}

  void add(utf8proc_int32_t code_point) {
    if (starts_.empty()) {
      bytes_ = "<";
      starts_ = {0};
    }
    starts_.push_back(bytes_.size());
    std::array<utf8proc_uint8_t, 4> encoded{};
    const auto n = utf8proc_encode_char(code_point, encoded.data());
    bytes_.append(encoded.begin(), encoded.begin() + n);
  }

  void end() {
    if (starts_.empty()) return;
    features_.push_back("w:" + bytes_.substr(1));
    starts_.push_back(bytes_.size());
    bytes_ += '>';
    starts_.push_back(bytes_.size());
    const std::size_t length = starts_.size() - 1;  // code points, boundary marks included
    for (std::size_t n = kShortestGram; n <= std::min(kLongestGram, length); ++n) {
      for (std::size_t i = 0; i + n <= length; ++i) {
        features_.push_back("c:" + bytes_.substr(starts_[i], starts_[i + n] - starts_[i]));
      }
    }
    starts_.clear();
  }

 private:
  std::vector<std::string>& features_;
  std::string bytes_;
  std::vector<std::size_t> starts_;  // of each code point in bytes_; empty between words
};

}  // namespace

std::vector<std::string> text_features(std::string_view text) {
  constexpr int kFold = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                        UTF8PROC_STRIPMARK | UTF8PROC_IGNORE;
  text = text.substr(0, kTextBytesMax);
  std::vector<std::string> features;
  Word word(features);
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t code_point = 0;
    auto bytes = utf8proc_iterate(at, left, &code_point);
    if (bytes <= 0) {
      word.end();
      bytes = 1;
    } else {
      // The longest decomposition of one code point is 18 (U+FDFA).
      std::array<utf8proc_int32_t, 32> folded{};
      int boundary = 0;
      const auto n = utf8proc_decompose_char(code_point, folded.data(), folded.size(),
                                             static_cast<utf8proc_option_t>(kFold), &boundary);
      if (n < 0 || n > static_cast<utf8proc_ssize_t>(folded.size())) word.end();
      for (utf8proc_ssize_t i = 0; i < std::min<utf8proc_ssize_t>(n, folded.size()); ++i) {
        const auto folded_point = folded[static_cast<std::size_t>(i)];
        if (in_word(folded_point)) {
          word.add(folded_point);
        } else {
          word.end();
        }
      }
    }
    at += bytes;
    left -= bytes;
  }
  word.end();
  return features;
}

}  // namespace fovea::ranking
