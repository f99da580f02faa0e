#include "ranking/sentence_folder.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

#include "ranking/weights.h"

namespace fovea::ranking {
namespace {

constexpr std::uintmax_t kFileBytesMax = 1 << 20;
// Far beyond any BERT; keeps products of sizes from overflowing.
constexpr std::size_t kSizeMax = 1 << 24;
constexpr std::size_t kBlocksMax = 1'000;
constexpr std::size_t kPositionsMax = 32'768;  // whose pairs 32 bits can count

// A JSON file of the folder and the questions that are asked of it.
class File {
 public:
  explicit File(std::filesystem::path path) : path_(std::move(path)) {}

  [[noreturn]] void refuse(const std::string& why) const {
    throw WeightsError(path_.string() + ": " + why);
  }

  boost::json::value parse() const {
    std::ifstream in(path_, std::ios::binary);
    if (!in) refuse(std::string("cannot be opened: ") + std::strerror(errno));
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path_, ignored)) refuse("is not a file");
    if (std::filesystem::file_size(path_, ignored) > kFileBytesMax) {
      refuse("is larger than the MiB that such a file has at most");
    }
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    boost::system::error_code bad;
    boost::json::value value = boost::json::parse(text, bad);
    if (bad) refuse("is not JSON: " + bad.message());
    return value;
  }

  boost::json::object object() const {
    boost::json::value value = parse();
    if (!value.is_object()) refuse("is not a JSON object");
    return std::move(value.get_object());
  }

 private:
  std::filesystem::path path_;
};

// An object of a file. What is absent or null has the default that is given with the question.
class Settings {
 public:
  explicit Settings(const std::filesystem::path& path) : file_(path), object_(file_.object()) {}

  const File& file() const { return file_; }

  const boost::json::value* find(std::string_view key) const {
    const auto* value = object_.if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  std::string text(std::string_view key, std::string_view otherwise) const {
    const auto* value = find(key);
    if (value == nullptr) return std::string(otherwise);
    if (!value->is_string()) file_.refuse("'" + std::string(key) + "' is not text");
    return std::string(value->get_string());
  }

  bool flag(std::string_view key, bool otherwise) const {
    const auto* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_bool()) file_.refuse("'" + std::string(key) + "' is neither true nor false");
    return value->get_bool();
  }

  double number(std::string_view key) const {
    const auto* value = find(key);
    if (value == nullptr) file_.refuse("has no '" + std::string(key) + "', which is expected");
    if (!value->is_number()) file_.refuse("'" + std::string(key) + "' is not a number");
    return value->to_number<double>();
  }

  // A whole number from 1.
  std::size_t size(std::string_view key, std::size_t max = kSizeMax) const {
    const double value = number(key);
    if (!(value >= 1 && value <= static_cast<double>(max)) || value != std::floor(value)) {
      file_.refuse("'" + std::string(key) + "' is expected to be a whole number from 1 to " +
                   std::to_string(max));
    }
    return static_cast<std::size_t>(value);
  }

  void expect(std::string_view key, std::string_view only) const {
    if (const std::string value = text(key, only); value != only) {
      file_.refuse("'" + std::string(key) + "' is '" + value + "'; '" + std::string(only) +
                   "' is expected");
    }
  }

 private:
  File file_;
  boost::json::object object_;
};

SentenceShape read_shape(const Settings& config) {
  if (config.find("model_type") == nullptr) {
    config.file().refuse("has no 'model_type'; 'bert' is expected");
  }
  config.expect("model_type", "bert");
  config.expect("hidden_act", "gelu");
  config.expect("position_embedding_type", "absolute");
  if (config.flag("is_decoder", false)) {
    config.file().refuse("'is_decoder' is true; an encoder, which attends both ways, is expected");
  }
  SentenceShape shape;
  shape.vocabulary = config.size("vocab_size");
  shape.positions = config.size("max_position_embeddings", kPositionsMax);
  shape.types = config.size("type_vocab_size");
  shape.width = config.size("hidden_size");
  shape.heads = config.size("num_attention_heads");
  shape.hidden = config.size("intermediate_size");
  shape.blocks = config.size("num_hidden_layers", kBlocksMax);
  shape.norm_epsilon = static_cast<float>(config.number("layer_norm_eps"));
  if (!(shape.norm_epsilon >= 0 && shape.norm_epsilon <= 1)) {
    config.file().refuse("'layer_norm_eps' is expected to be a number from 0 to 1");
  }
  if (shape.width % shape.heads != 0) {
    config.file().refuse("'hidden_size' is " + std::to_string(shape.width) +
                         ", which 'num_attention_heads', " + std::to_string(shape.heads) +
                         ", does not divide");
  }
  return shape;
}

WordPiece::Options read_words(const Settings& tokenizer) {
  if (!tokenizer.flag("do_basic_tokenize", true)) {
    tokenizer.file().refuse(
        "'do_basic_tokenize' is false; text that is cut into words is expected");
  }
  for (const auto& [key, name] :
       {std::pair{"unk_token", "[UNK]"}, {"cls_token", "[CLS]"}, {"sep_token", "[SEP]"}}) {
    // An object tells of more than the name.
    if (const auto* token = tokenizer.find(key); token != nullptr && token->is_string()) {
      tokenizer.expect(key, name);
    }
  }
  WordPiece::Options options;
  options.lower_case = tokenizer.flag("do_lower_case", true);
  options.strip_accents = tokenizer.flag("strip_accents", options.lower_case);
  options.chinese_characters = tokenizer.flag("tokenize_chinese_chars", true);
  return options;
}

// What comes after the encoder: a Dense layer, say, has weights that nobody would read.
void check_modules(const std::filesystem::path& path) {
  const File file(path);
  const boost::json::value modules = file.parse();
  if (!modules.is_array()) file.refuse("is not a JSON array of modules");
  for (const auto& module : modules.get_array()) {
    const auto* type = module.is_object() ? module.get_object().if_contains("type") : nullptr;
    if (type == nullptr || !type->is_string()) file.refuse("has a module without a 'type'");
    const std::string name(type->get_string());
    const std::string last = name.substr(name.rfind('.') + 1);
    if (last != "Transformer" && last != "Pooling" && last != "Normalize") {
      file.refuse("has the module '" + name + "'; Transformer, Pooling and Normalize are expected");
    }
  }
}

SentenceFolder::Pooling read_pooling(const Settings& pooling) {
  const bool mean = pooling.flag("pooling_mode_mean_tokens", false);
  const bool first = pooling.flag("pooling_mode_cls_token", false);
  bool other = false;
  for (const char* key : {"pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
                          "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"}) {
    other = other || pooling.flag(key, false);
  }
  if (mean == first || other) {
    pooling.file().refuse(
        "pools in another way; either 'pooling_mode_mean_tokens' or 'pooling_mode_cls_token' alone "
        "is expected to be true");
  }
  return first ? SentenceFolder::Pooling::kFirst : SentenceFolder::Pooling::kMean;
}

}  // namespace

SentenceFolder SentenceFolder::read(const std::filesystem::path& folder) {
  SentenceFolder result;
  result.shape = read_shape(Settings(folder / "config.json"));
  const std::size_t positions = result.shape.positions;
  if (positions < 2) {
    File(folder / "config.json").refuse("'max_position_embeddings' is 1; [CLS] and [SEP] need 2");
  }
  result.tokens_max = positions;
  const auto there = [&](const std::filesystem::path& name) {
    std::error_code ignored;
    return std::filesystem::exists(folder / name, ignored);
  };
  if (there("tokenizer_config.json")) {
    const Settings tokenizer(folder / "tokenizer_config.json");
    result.words = read_words(tokenizer);
    // Of a tokenizer without a limit it is a number beyond all sizes.
    if (tokenizer.find("model_max_length") != nullptr) {
      const double most = tokenizer.number("model_max_length");
      if (!(most >= 2)) tokenizer.file().refuse("'model_max_length' is expected to be at least 2");
      if (most < static_cast<double>(positions)) {
        result.tokens_max = static_cast<std::size_t>(most);
      }
    }
  }
  if (there("sentence_bert_config.json")) {
    const Settings sentence(folder / "sentence_bert_config.json");
    if (sentence.flag("do_lower_case", false)) result.words.lower_case = true;
    if (sentence.find("max_seq_length") != nullptr) {
      result.tokens_max = sentence.size("max_seq_length");
      if (result.tokens_max < 2 || result.tokens_max > positions) {
        sentence.file().refuse("'max_seq_length' is " + std::to_string(result.tokens_max) +
                               "; 2 to the model's " + std::to_string(positions) +
                               " positions are expected");
      }
    }
  }
  if (there("modules.json")) check_modules(folder / "modules.json");
  if (there("1_Pooling/config.json")) {
    result.pooling = read_pooling(Settings(folder / "1_Pooling/config.json"));
  }
  return result;
}

}  // namespace fovea::ranking
