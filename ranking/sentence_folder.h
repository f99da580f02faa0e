// What the small files beside a sentence encoder's weights say, in Hugging Face's layout: sizes,
// how text is cut, how tokens become one vector. Owns reading and refusing them.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <string_view>

#include "ranking/word_piece.h"

namespace fovea::ranking {

struct SentenceShape {
  std::size_t vocabulary = 0;  ///< V, rows of the table of words
  std::size_t positions = 0;   ///< P, rows of the table of positions
  std::size_t types = 0;       ///< Rows of the table of token types, of which the first is used.
  std::size_t width = 0;       ///< D
  std::size_t heads = 0;       ///< H
  std::size_t hidden = 0;      ///< F, of the feed-forward
  std::size_t blocks = 0;
  float norm_epsilon = 0;
};

struct SentenceFolder {
  /// All that an encoder is read from, by their names in the folder; the first kNeeded must be
  /// there.
  static constexpr std::array<std::string_view, 7> kFiles = {"config.json",
                                                             "vocab.txt",
                                                             "model.safetensors",
                                                             "tokenizer_config.json",
                                                             "sentence_bert_config.json",
                                                             "modules.json",
                                                             "1_Pooling/config.json"};
  static constexpr std::size_t kNeeded = 3;

  enum class Pooling : bool { kMean, kFirst };  ///< Of all tokens, or [CLS] alone.

  SentenceShape shape;
  WordPiece::Options words;
  std::size_t tokens_max = 0;  ///< Of a text, [CLS] and [SEP] included; 2 .. P.
  Pooling pooling = Pooling::kMean;

  /// Reads config.json and, where they are there, tokenizer_config.json, sentence_bert_config.json,
  /// modules.json and 1_Pooling/config.json. Throws WeightsError, which names file and what is
  /// expected, for what is missing, malformed, or another model than a BERT that attends both ways
  /// with the exact GELU.
  static SentenceFolder read(const std::filesystem::path& folder);
};

}  // namespace fovea::ranking
