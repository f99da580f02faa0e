// Text to vector without a download: TF-IDF over words and character n-grams, reduced by randomised
// SVD (latent semantic analysis: Deerwester 1990; the SVD: Halko, Martinsson, Tropp, arXiv
// 0909.4061, with power iterations). Owns tokens, vocabulary and projection. Any new text, an
// item's or a query's, is encoded at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ranking/weights.h"

namespace fovea::ranking {

/// The features of a text, with repeats: lower-cased words (Unicode letters and digits, marks
/// dropped) prefixed "w:", and the character n-grams of each word, 3 to 5 code points with boundary
/// marks, prefixed "c:". Invalid UTF-8 ends a word, never throws. At most the first 64 KiB of the
/// text are read.
std::vector<std::string> text_features(std::string_view text);

/// Immutable once fitted; thread-safe.
class TextEncoder {
 public:
  struct Options {
    std::size_t width = 128;              ///< K
    std::size_t features_max = 65'536;    ///< The features in most texts are kept.
    std::size_t fit_texts_max = 200'000;  ///< A seeded sample of this many texts is fitted on.
    std::uint64_t seed = 1;
    int threads = 1;
  };
  TextEncoder() = default;  ///< Knows no feature; encodes everything to zeros of width 0.
  static TextEncoder fit(std::span<const std::string_view> texts, const Options& options);

  std::size_t width() const { return width_; }
  /// Writes a unit vector [width]; zeros, and false, for a text without a known feature.
  bool encode(std::string_view text, std::span<float> out) const;

  void save(Weights& weights) const;  ///< Arrays named "text_encoder.*".
  static TextEncoder load(const Weights& weights);

 private:
  /// One feature of a text and what it weighs there.
  struct Weighed {
    std::uint32_t feature = 0;
    float value = 0;
  };
  std::vector<Weighed> weigh(std::string_view text) const;

  std::size_t width_ = 0;
  std::size_t words_ = 0;  // features [0, words_) are words, the others n-grams
  std::unordered_map<std::string, std::uint32_t> vocabulary_;
  std::vector<float> idf_;         // [F]
  std::vector<float> projection_;  // [F, K]
};

}  // namespace fovea::ranking
