// Texts to unit vectors by a BERT that was trained for it (Sentence-BERT, arXiv 1908.10084), read
// from a folder in Hugging Face's layout; inference only.
//   token    x = LayerNorm(word + position + type)
//   block    x = LayerNorm(x + W attention(x)), x = LayerNorm(x + W gelu(W x)), attention both ways
//   (arXiv 1810.04805)
//   text     the mean of its tokens' last x, or that of [CLS], scaled to length 1
// Legend: S texts, T tokens of all texts one after another, D channels, F of the feed-forward.
// Ragged: no padding is stored or computed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "ranking/context.h"
#include "ranking/sentence_folder.h"
#include "ranking/tensor.h"
#include "ranking/word_piece.h"

namespace fovea::ranking {

/// Immutable once loaded; thread-safe.
class SentenceEncoder {
 public:
  /// Weights lie in the context's memory, and encode() is called with a context of the same device.
  /// Throws WeightsError, which names the file and what is expected: for a file or an array that is
  /// missing, of another shape or type, or not what its config says.
  static SentenceEncoder load(const Context& context, const std::filesystem::path& folder);

  std::size_t width() const { return folder_.shape.width; }  ///< D

  /// out [S, D]: a unit vector for each text, also for an empty one; what a text's tokens have
  /// beyond the model's limit is not read. A text's vector does not depend on what is encoded with
  /// it beyond the rounding of sums, nor on the context's threads at all: each takes texts of its
  /// own, since they would wait for each other at every product.
  void encode(const Context& context, std::span<const std::string_view> texts,
              std::span<float> out) const;

  /// As encode(), but zeros for a text without a word: where the model puts such a text says
  /// nothing of it.
  void encode_known(const Context& context, std::span<const std::string_view> texts,
                    std::span<float> out) const;

  /// The ids that encode() reads of a text.
  std::vector<std::uint32_t> ids(std::string_view text) const {
    return words_.encode(text, folder_.tokens_max);
  }

 private:
  // On its side of how the file has it: for the few rows of a query, oneDNN's product takes 0.6 of
  // the time so.
  struct Linear {
    Tensor weight, bias;  // [in, out], [out]
  };
  struct Norm {
    Tensor gain, bias;  // [D]
  };
  struct Block {
    Linear qkv, attended;  // [D, 3D], [D, D]
    Norm norm1;
    Linear expand, contract;  // [D, F], [F, D]
    Norm norm2;
  };
  struct Batch {
    std::size_t first = 0;                                     // text
    std::vector<std::uint32_t> offsets = {0}, ids, positions;  // [S + 1], [T], [T]
  };
  class Reader;

  void encode(const Context& context, const Batch& batch, std::span<float> out) const;

  SentenceFolder folder_;
  WordPiece words_;
  Tensor word_table_;      // [V, D]
  Tensor position_table_;  // [P, D], with the first type's row added: there is no other type
  Norm norm_in_;
  std::vector<Block> blocks_;
};

}  // namespace fovea::ranking
