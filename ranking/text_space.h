// Every item's and query's text as a vector of one space.
// Text is encoded by latent semantic analysis (text_encoder) or a sentence encoder, whose files are
// the caller's, or comes encoded with the item; it is centred, unless by a sentence encoder, and
// scaled to unit length, so that an inner product is a cosine. For the item tower it is whitened
// too (PCA): raw sentence embeddings share a direction and rank badly (arXiv 2402.10602). Vectors
// that are spoken of as centred below are not with a sentence encoder.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "ranking/context.h"
#include "ranking/text_encoder.h"
#include "ranking/weights.h"

namespace fovea::ranking {

class SentenceEncoder;

/// What is known of one item: its own embedding wins over its text; both may be absent.
struct TextSource {
  std::string_view text;             ///< Empty: none.
  std::span<const float> embedding;  ///< Empty: none. [width]
};

/// Immutable once fitted; thread-safe.
class TextSpace {
 public:
  struct Options {
    std::size_t width =
        128;  ///< K, channels of a text vector; that of the embeddings where there are any.
    std::size_t whitened_max = 128;  ///< At most this many whitened channels.
    std::uint64_t seed = 1;
    int threads = 1;
    /// What encodes the texts, of width K. Null: latent semantic analysis, fitted on them.
    std::shared_ptr<const SentenceEncoder> sentences;
  };
  /// Fits the encoder on the texts where none is given, then centre and whitening on all vectors.
  /// Any number of items, also none.
  static TextSpace fit(std::span<const TextSource> items, const Options& options);

  std::size_t width() const { return width_; }                    ///< K
  std::size_t whitened_width() const { return whitened_width_; }  ///< Z <= min(K, whitened_max)

  /// Writes the centred unit vector [K]; zeros, and false, where nothing in the source is known.
  bool encode(const TextSource& source, std::span<float> out) const;
  /// The same of several, out [n, K], in the host's memory: a sentence encoder reads short texts
  /// faster together, and on the context's threads.
  void encode(const Context& context, std::span<const TextSource> sources,
              std::span<float> out) const;
  /// `vectors` [n, K] as encode() gives them, `out` [n, Z]: mean 0 and variance 1 / Z per channel
  /// over the fitted items, so that a whitened vector's length is about 1. A zero vector stays
  /// zero.
  void whiten(std::span<const float> vectors, std::span<float> out) const;

  /// Null where latent semantic analysis encodes.
  const SentenceEncoder* sentences() const;

  /// Arrays named "text.*", and LSA's own; a sentence encoder stays in its files.
  void save(Weights& weights) const;
  /// `sentences` as they were when it was fitted, null where there were none.
  static TextSpace load(const Weights& weights,
                        std::shared_ptr<const SentenceEncoder> sentences = nullptr);

 private:
  using Encoder = std::variant<TextEncoder, std::shared_ptr<const SentenceEncoder>>;

  void encode_raw(const Context& context, std::span<const TextSource> sources,
                  std::span<float> out) const;
  void fit_whitening(std::span<const float> vectors, std::size_t whitened_max);

  std::size_t width_ = 0;
  std::size_t whitened_width_ = 0;
  Encoder encoder_;
  std::vector<float> mean_;            // [K]
  std::vector<float> whitening_mean_;  // [K]
  std::vector<float> whitening_;       // [Z, K]
};

}  // namespace fovea::ranking
