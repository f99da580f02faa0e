// Sentence encoders' folders: whatever the files say, they are refused with a sentence that names
// one of them, or texts have tokens of the vocabulary and unit vectors. The input is config.json,
// tokenizer_config.json, sentence_bert_config.json, 1_Pooling/config.json, vocab.txt, a text and
// model.safetensors, with lines of "%%" between; what is empty is not there. Without weights there
// are some of the shapes that the config asks for, so that the model runs on what no mutation
// finds.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "ranking/sentence_encoder.h"
#include "ranking/weights.h"

namespace {

namespace fs = std::filesystem;
using namespace fovea::ranking;

constexpr std::array<const char*, 7> kParts = {"config.json",
                                               "tokenizer_config.json",
                                               "sentence_bert_config.json",
                                               "1_Pooling/config.json",
                                               "vocab.txt",
                                               "text",
                                               "model.safetensors"};
constexpr std::size_t kFloatsMax = 1 << 16;  // of weights that are made here

/// Removed at the end.
struct Scratch {
  fs::path directory = fs::temp_directory_path() / ("fuzz-sentence-" + std::to_string(getpid()));
  Scratch() { fs::create_directories(directory / "1_Pooling"); }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(directory, ignored);
  }
};

void check(bool holds) {
  if (!holds) std::abort();
}

std::string_view next_part(std::string_view& rest) {
  constexpr std::string_view kBetween = "\n%%\n";
  const std::size_t end = rest.find(kBetween);
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == rest.npos ? rest.size() : end + kBetween.size());
  return part;
}

/// False where they would be many.
bool make_weights(const SentenceShape& shape, const fs::path& file) {
  Weights weights;
  std::size_t floats = 0;
  const auto put = [&](const std::string& name, const Weights::Shape& sizes) {
    std::size_t n = 1;
    for (const std::size_t size : sizes) n = std::min(n * size, kFloatsMax + 1);
    if ((floats += n) > kFloatsMax) return;
    std::vector<float> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
    weights.put(name, sizes, std::move(values));
  };
  const std::size_t d = shape.width;
  const auto layer = [&](const std::string& name, std::size_t out, std::size_t in) {
    put(name + ".weight", {out, in});
    put(name + ".bias", {out});
  };
  const auto norm = [&](const std::string& name) {
    put(name + ".weight", {d});
    put(name + ".bias", {d});
  };
  put("embeddings.word_embeddings.weight", {shape.vocabulary, d});
  put("embeddings.position_embeddings.weight", {shape.positions, d});
  put("embeddings.token_type_embeddings.weight", {shape.types, d});
  norm("embeddings.LayerNorm");
  for (std::size_t k = 0; k < shape.blocks && floats <= kFloatsMax; ++k) {
    const std::string name = "encoder.layer." + std::to_string(k) + ".";
    for (const char* part : {"query", "key", "value"}) {
      layer(name + "attention.self." + part, d, d);
    }
    layer(name + "attention.output.dense", d, d);
    norm(name + "attention.output.LayerNorm");
    layer(name + "intermediate.dense", shape.hidden, d);
    layer(name + "output.dense", d, shape.hidden);
    norm(name + "output.LayerNorm");
  }
  if (floats > kFloatsMax) return false;
  weights.save(file);
  return true;
}

void encode(const fs::path& folder, std::string_view text) {
  const SentenceFolder read = SentenceFolder::read(folder);
  const WordPiece words = WordPiece::load(folder / "vocab.txt", read.words);
  const auto ids = words.encode(text, read.tokens_max);
  check(ids.size() >= 2 && ids.size() <= read.tokens_max);
  for (const auto id : ids) check(id < words.size());
  const fs::path weights = folder / "model.safetensors";
  if (!fs::exists(weights) && !make_weights(read.shape, weights)) return;
  const SentenceEncoder encoder = SentenceEncoder::load({}, folder);
  std::vector<float> vector(encoder.width());
  encoder.encode_known({}, std::span(&text, 1), vector);
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * value;
  // Weights of the input may be finite and too large to compute with.
  check(!std::isfinite(squares) || squares == 0 || std::abs(squares - 1) < 1e-4);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Scratch kScratch;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::string_view text;
  for (const char* name : kParts) {
    const std::string_view part = next_part(rest);
    if (std::string_view(name) == "text") {
      text = part;
      continue;
    }
    const fs::path file = kScratch.directory / name;
    fs::remove(file);
    if (!part.empty()) std::ofstream(file, std::ios::binary) << part;
  }
  try {
    encode(kScratch.directory, text);
  } catch (const WeightsError& error) {
    check(std::string_view(error.what()).starts_with(kScratch.directory.string()));
  }
  return 0;
}
