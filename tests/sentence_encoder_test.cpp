// Vectors are those of the reference (golden/make_sentence.py), alone and among others; folders
// that hold no such encoder are refused with a sentence that names the file.
#include "ranking/sentence_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "tests/sentence_golden.h"

namespace fovea::ranking {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr Context kContext{1};
constexpr std::size_t kWidth = 12;

std::vector<float> encode(const SentenceEncoder& encoder, const std::vector<std::string>& texts,
                          const Context& context = kContext) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  std::vector<float> vectors(texts.size() * encoder.width(), NAN);
  encoder.encode(context, views, vectors);
  return vectors;
}

void expect_close(std::span<const float> ours, std::span<const float> theirs, float tolerance) {
  ASSERT_EQ(ours.size(), theirs.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    ASSERT_NEAR(ours[i], theirs[i], tolerance)
        << "text " << i / kWidth << ", channel " << i % kWidth;
  }
}

// A copy of the golden folder, to be changed.
class Folder : public testing::Test {
 protected:
  Folder() : folder_(fs::temp_directory_path() / ("sentence-" + std::to_string(getpid()))) {
    restore();
  }
  ~Folder() override { fs::remove_all(folder_); }

  void restore() {
    fs::remove_all(folder_);
    fs::copy(sentence_folder(), folder_, fs::copy_options::recursive);
  }
  std::string read(const std::string& name) const {
    std::ifstream in(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  void replace(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read(name);
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(name, text.replace(at, from.size(), to));
  }
  SentenceEncoder load() const { return SentenceEncoder::load(kContext, folder_); }
  /// What is said of the folder, which is then as it was; empty: nothing.
  std::string refusal() {
    std::string said;
    try {
      load();
    } catch (const WeightsError& error) {
      said = error.what();
    }
    restore();
    return said;
  }
  std::string refusal_of(const std::string& name, const std::string& from, const std::string& to) {
    replace(name, from, to);
    return refusal();
  }
  /// The arrays of the model, changed and written again.
  std::string refusal_after(const std::function<void(Weights&)>& change) {
    Weights weights = Weights::load(folder_ / "model.safetensors");
    change(weights);
    weights.save(folder_ / "model.safetensors");
    return refusal();
  }

  fs::path folder_;
};

TEST_F(Folder, VectorsAreTheReferences) {
  const SentenceGolden golden;
  const SentenceEncoder encoder = load();
  ASSERT_EQ(encoder.width(), kWidth);
  const auto texts = golden.texts();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(encoder.ids(texts[i]), golden.ids("ids", i));
  }
  expect_close(encode(encoder, texts), golden.weights.floats("mean"), 2e-6F);
  replace("1_Pooling/config.json", "\"pooling_mode_mean_tokens\": true",
          "\"pooling_mode_mean_tokens\": false");
  replace("1_Pooling/config.json", "\"pooling_mode_cls_token\": false",
          "\"pooling_mode_cls_token\": true");
  expect_close(encode(load(), texts), golden.weights.floats("first"), 2e-6F);
}

TEST_F(Folder, ATextHasItsVectorAmongAnyOthersOnAnyThreads) {
  const SentenceEncoder encoder = load();
  std::vector<std::string> texts;
  for (int i = 0; i < 20; ++i) {  // more tokens than one batch has
    for (const auto& text : SentenceGolden().texts()) texts.push_back(text);
  }
  const auto together = encode(encoder, texts);
  for (const int threads : {2, 3, 8}) {
    std::atomic<int> batches = 0;
    const std::function<bool()> stop = [&] { return ++batches < 0; };
    EXPECT_EQ(encode(encoder, texts, {.threads = threads, .stop = &stop}), together);
    EXPECT_GE(batches, threads) << "there is not one for each thread";
  }
  for (std::size_t i = 0; i < texts.size(); i += 37) {
    expect_close(encode(encoder, {texts[i]}), std::span(together).subspan(i * kWidth, kWidth),
                 1e-6F);
  }
  EXPECT_TRUE(encode(encoder, {}).empty());
}

TEST_F(Folder, WhoAsksToStopEndsEveryThread) {
  const SentenceEncoder encoder = load();
  const std::vector<std::string> texts(2'000, "the red shoes");
  for (const int threads : {1, 3}) {
    std::atomic<int> asked = 0;
    const std::function<bool()> stop = [&] { return ++asked > 3; };
    EXPECT_THROW(encode(encoder, texts, {.threads = threads, .stop = &stop}), Stopped);
    EXPECT_LE(asked, 3 + threads);
  }
}

TEST_F(Folder, AnyTextHasAUnitVector) {
  const SentenceEncoder encoder = load();
  std::string chinese;
  for (int i = 0; i < 1'000; ++i) chinese += "中文";
  for (const std::string& text :
       {std::string(), std::string(100'000, 'a'), std::string(100'000, ' '), std::string(10, '\0'),
        std::string("\xFF\xFE\xC3"), std::string("😀👩‍👩‍👧‍👦🏳️‍🌈"),
        chinese, std::string("שלום עולם مرحبا"), std::string("\"((' OR 1=1 --")}) {
    const auto vector = encode(encoder, {text});
    float squares = 0;
    for (const float x : vector) squares += x * x;
    EXPECT_NEAR(squares, 1, 1e-5);
  }
}

TEST_F(Folder, OnlyConfigVocabularyAndWeightsMustBeThere) {
  const auto expected = encode(load(), {"the red shoes"});
  fs::remove(folder_ / "tokenizer_config.json");
  fs::remove(folder_ / "sentence_bert_config.json");
  fs::remove(folder_ / "modules.json");
  fs::remove_all(folder_ / "1_Pooling");
  const SentenceEncoder encoder = load();
  expect_close(encode(encoder, {"the red shoes"}), expected, 0);
  EXPECT_EQ(encoder.ids(std::string(100, '!')).size(), 16U);  // the model's positions
  restore();
  for (const char* name : {"config.json", "vocab.txt", "model.safetensors"}) {
    fs::remove(folder_ / name);
    EXPECT_THAT(refusal(), AllOf(HasSubstr(name), HasSubstr("cannot be opened")));
    fs::remove(folder_ / name);
    fs::create_directory(folder_ / name);
    EXPECT_THAT(refusal(), HasSubstr(name));
  }
}

TEST_F(Folder, AnEncoderThatWasSavedUnderATaskIsRead) {
  const auto expected = encode(load(), {"the red shoes"});
  const std::string bytes = read("model.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  std::string header = bytes.substr(sizeof length, length);
  const std::string data = bytes.substr(sizeof length + length);
  for (const std::string part : {"\"embeddings.", "\"encoder."}) {
    for (auto at = header.find(part); at != std::string::npos; at = header.find(part, at + 1)) {
      header.insert(at + 1, "bert.");
    }
  }
  length = header.size();
  std::string changed(sizeof length, '\0');
  std::memcpy(changed.data(), &length, sizeof length);
  write("model.safetensors", changed + header + data);
  expect_close(encode(load(), {"the red shoes"}), expected, 0);
}

TEST_F(Folder, AnotherArchitectureIsRefused) {
  const std::string config = "config.json";
  EXPECT_THAT(
      refusal_of(config, "\"model_type\": \"bert\"", "\"model_type\": \"mpnet\""),
      AllOf(HasSubstr("config.json: 'model_type' is 'mpnet'"), HasSubstr("'bert' is expec")));
  EXPECT_THAT(refusal_of(config, "\"model_type\": \"bert\",", ""), HasSubstr("no 'model_type'"));
  EXPECT_THAT(refusal_of(config, "\"gelu\"", "\"relu\""), HasSubstr("'gelu' is expected"));
  EXPECT_THAT(refusal_of(config, "\"absolute\"", "\"relative_key\""), HasSubstr("'absolute' is"));
  EXPECT_THAT(refusal_of(config, "{", "{\"is_decoder\": true,"), HasSubstr("attends both ways"));
  EXPECT_THAT(refusal_of("modules.json", "models.Normalize", "models.Dense"),
              AllOf(HasSubstr("modules.json"), HasSubstr("models.Dense'; Transformer, Pooling")));
  EXPECT_THAT(refusal_of("1_Pooling/config.json", "mean_tokens", "max_tokens"),
              AllOf(HasSubstr("1_Pooling/config.json"), HasSubstr("pools in another way")));
  EXPECT_THAT(refusal_of("tokenizer_config.json", "\"[CLS]\"", "\"<s>\""),
              HasSubstr("'cls_token' is '<s>'; '[CLS]' is expected"));
}

TEST_F(Folder, SizesThatDoNotFitAreRefused) {
  const std::string config = "config.json";
  for (const std::string bad : {"0", "-1", "1.5", "1e300", "99999999999", "\"16\"", "true", "[]"}) {
    EXPECT_THAT(refusal_of(config, "\"max_position_embeddings\": 16",
                           "\"max_position_embeddings\": " + bad),
                HasSubstr("config.json: 'max_position_embeddings' is"))
        << bad;
  }
  EXPECT_THAT(refusal_of(config, "embeddings\": 16", "embeddings\": 1"),
              HasSubstr("[CLS] and [SEP]"));
  EXPECT_THAT(
      refusal_of(config, "embeddings\": 16", "embeddings\": 15"),
      HasSubstr("'embeddings.position_embeddings.weight' is [16, 12]; by config.json [15, 12]"));
  EXPECT_THAT(refusal_of(config, "\"num_attention_heads\": 3", "\"num_attention_heads\": 5"),
              HasSubstr("5, does not divide"));
  EXPECT_THAT(refusal_of(config, "\"hidden_size\": 12,", ""), HasSubstr("has no 'hidden_size'"));
  EXPECT_THAT(refusal_of(config, "1e-12", "-1"), HasSubstr("'layer_norm_eps' is expected"));
  EXPECT_THAT(refusal_of(config, "\"intermediate_size\": 20", "\"intermediate_size\": 16777216"),
              HasSubstr("is [20, 12]; by config.json [16777216, 12] is expected"));
  EXPECT_THAT(refusal_of(config, "layers\": 2", "layers\": 3"),
              HasSubstr("'encoder.layer.2.attention.self.query.weight' is missing"));
  EXPECT_THAT(refusal_of(config, "\"vocab_size\": ", "\"vocab_size\": 1"),
              HasSubstr("12] is expec"));
  write("vocab.txt", read("vocab.txt") + "x\ny\nz\nzz\n");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("vocab.txt: has "), HasSubstr("'vocab_size'")));
  EXPECT_THAT(refusal_of("sentence_bert_config.json", "14", "17"),
              HasSubstr("'max_seq_length' is 17; 2 to the model's 16 positions are expected"));
  EXPECT_THAT(refusal_of("sentence_bert_config.json", "14", "1"),
              HasSubstr("'max_seq_length' is 1;"));
  EXPECT_THAT(refusal_of("tokenizer_config.json", "512", "1"), HasSubstr("'model_max_length' is"));
}

TEST_F(Folder, FilesThatAreNoJsonAreRefused) {
  for (const char* name : {"config.json", "tokenizer_config.json", "sentence_bert_config.json",
                           "modules.json", "1_Pooling/config.json"}) {
    for (const std::string& bytes :
         {std::string(), std::string("{"), std::string("\"text\""), std::string("\xFF\xFE"),
          std::string(2 << 20, ' '), std::string(100'000, '[')}) {
      write(name, bytes);
      EXPECT_THAT(refusal(), HasSubstr(name)) << bytes.substr(0, 10);
    }
  }
  EXPECT_THAT(
      refusal_of("tokenizer_config.json", "\"do_lower_case\": true", "\"do_lower_case\": 1"),
      HasSubstr("'do_lower_case' is neither true nor false"));
  write("modules.json", "[{}]");
  EXPECT_THAT(refusal(), HasSubstr("a module without a 'type'"));
}

TEST_F(Folder, ArraysThatAreNotTheModelsAreRefused) {
  const std::string name = "encoder.layer.1.output.dense.weight";
  EXPECT_THAT(refusal_after([&](Weights& w) { w.put(name, {20, 12}, std::vector<float>(240)); }),
              AllOf(HasSubstr("model.safetensors: "),
                    HasSubstr("'" + name + "' is [20, 12]; by config.json [12, 20] is expected")));
  EXPECT_THAT(refusal_after([&](Weights& w) { w.put_bytes(name, "none"); }),
              AllOf(HasSubstr("model.safetensors: "), HasSubstr("is U8; F32 is expected")));
  EXPECT_THAT(refusal_after([&](Weights& w) { w = {}; }),
              HasSubstr("'embeddings.word_embeddings.weight' is missing"));
  EXPECT_THAT(refusal_after([&](Weights& w) {
                w.put("embeddings.LayerNorm.weight", {12}, std::vector<float>(12, 3e38F));
              }),
              HasSubstr("makes vectors that are no numbers"));
  const std::string bytes = read("model.safetensors");
  write("model.safetensors", bytes.substr(0, bytes.size() - 1));
  EXPECT_THAT(refusal(), HasSubstr("model.safetensors"));
}

}  // namespace
}  // namespace fovea::ranking
