// What a sentence encoder made of texts, kept from training to training, so that one that was
// killed goes on where it was and the next encodes only what is new. Owns the folder
// DATA/versions/encoded/ and who encodes what on which thread; the encoder is ranking's.
//
//   ID   of the encoder with that EncoderFiles::id(): the line "fovea encoded texts 1 ID K\n", then
//        for each text the first 32 digits of its SHA-256, its vector (K floats, little-endian) and
//        the first 16 digits of both's SHA-256
//
// A record that is not what its checksum says, or cut short, is left out and encoded again. Nothing
// is synced while it grows: what a power cut takes is encoded again too.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ranking/sentence_encoder.h"

namespace fovea::engine {

/// Only while the training lock is held. Not thread-safe.
class EncodedTexts {
 public:
  struct Watch {
    /// A sentence on what becomes of what lies there, and when the disk refuses.
    std::function<void(const std::string&)> say;
    /// Texts encoded of those that had to be, and how fast. Called by one thread at a time.
    std::function<void(std::size_t done, std::size_t of, double texts_per_second)> progress;
    std::stop_token stop;
  };
  /// `versions`: DATA/versions; empty: nothing is kept.
  EncodedTexts(const std::filesystem::path& versions, std::string id, Watch watch);

  /// out [S, K]: each text's vector, zeros for one without a word; each text is encoded once,
  /// however often it comes. A disk that refuses does not end it. False where a stop was asked for
  /// before all were done.
  bool encode(const ranking::SentenceEncoder& encoder, std::span<const std::string_view> texts,
              int threads, std::span<float> out);

  /// Deletes what other encoders made, or all where `id` is empty.
  static void forget_others(const std::filesystem::path& versions, std::string_view id);

 private:
  struct Text {
    std::string_view text;
    std::span<float> vector;  // [K]
    std::string key;
    bool known = false;
  };
  struct Texts {
    std::vector<Text> all;                                         // no two alike
    std::unordered_map<std::string, std::size_t> by_key;           // indices in `all`
    std::vector<std::pair<std::span<float>, std::size_t>> copies;  // of one in `all`
  };
  static std::string record(const std::string& key, std::span<const float> vector);
  static Texts distinct(std::span<const std::string_view> texts, std::size_t width,
                        std::span<float> out);
  static bool take(std::string_view record, Texts& wanted);

  bool encode(const ranking::SentenceEncoder& encoder, std::span<Text* const> texts, int threads);
  void take_up(Texts& wanted, std::size_t width);
  void write_anew(const Texts& wanted, const std::string& first) const;
  void append(const std::string& records);
  void refuse(std::string_view why);

  std::filesystem::path file_;  // empty: nothing is kept
  std::string id_;
  Watch watch_;
  std::ofstream out_;  // closed: nothing is kept any more
};

}  // namespace fovea::engine
