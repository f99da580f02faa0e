#include "ranking/sentence_encoder.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>
#include <utility>

#include "ranking/index_lists.h"
#include "ranking/ops.h"
#include "ranking/spread.h"
#include "ranking/weights.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

std::string brackets(const Weights::Shape& shape) {
  std::string text = "[";
  for (const std::size_t size : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  }
  return text + "]";
}

void scale_to_unit(std::span<float> vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * x;
  if (squares == 0) return;
  for (float& x : vector) x = static_cast<float>(x / std::sqrt(squares));
}

}  // namespace

// Takes arrays out of the file by their names, with the shapes that the config says.
class SentenceEncoder::Reader {
 public:
  Reader(const Context& context, std::filesystem::path file)
      : context_(context), file_(std::move(file)), weights_(Weights::load(file_)) {
    // As saved with a head for some task on top.
    if (weights_.has("bert.embeddings.word_embeddings.weight")) prefix_ = "bert.";
  }

  std::span<const float> values(const std::string& name, const Weights::Shape& shape) const try {
    const std::string full = prefix_ + name;
    const auto found = weights_.floats(full);
    if (weights_.shape(full) != shape) {
      throw WeightsError("array '" + full + "' is " + brackets(weights_.shape(full)) +
                         "; by config.json " + brackets(shape) + " is expected");
    }
    return found;
  } catch (const WeightsError& error) {
    throw WeightsError(file_.string() + ": " + error.what());
  }

  Tensor tensor(const std::string& name, const Weights::Shape& shape) const {
    return placed(shape, values(name, shape));
  }
  Norm norm(const std::string& name, std::size_t width) const {
    return {tensor(name + ".weight", {width}), tensor(name + ".bias", {width})};
  }
  Linear linear(const std::string& name, std::size_t out, std::size_t in) const {
    const auto rows = values(name + ".weight", {out, in});  // before room for what it may not be
    std::vector<float> weight(rows.size());
    put_columns(rows, in, out, weight.data());
    return {placed({in, out}, weight), tensor(name + ".bias", {out})};
  }
  // Queries, keys and values side by side, so that one product makes them.
  Linear qkv(const std::string& name, std::size_t width) const {
    std::vector<float> weight;
    std::vector<float> bias;
    for (const char* part : {"query", "key", "value"}) {
      const auto rows = values(name + part + ".weight", {width, width});
      weight.resize(3 * rows.size());
      put_columns(rows, width, 3 * width, weight.data() + bias.size());
      const auto b = values(name + part + ".bias", {width});
      bias.insert(bias.end(), b.begin(), b.end());
    }
    return {placed({width, 3 * width}, weight), placed({3 * width}, bias)};
  }
  Tensor placed(const Weights::Shape& shape, std::span<const float> floats) const {
    Tensor result(context_, shape);
    result.assign(floats);
    return result;
  }

 private:
  // Rows [*, in] of the file become columns, `ld` floats from row to row.
  static void put_columns(std::span<const float> rows, std::size_t in, std::size_t ld, float* to) {
    for (std::size_t i = 0; i < rows.size(); ++i) to[i % in * ld + i / in] = rows[i];
  }

  const Context& context_;
  std::filesystem::path file_;
  Weights weights_;
  std::string prefix_;
};

SentenceEncoder SentenceEncoder::load(const Context& context, const std::filesystem::path& folder) {
  SentenceEncoder result;
  result.folder_ = SentenceFolder::read(folder);
  const SentenceShape& shape = result.folder_.shape;
  result.words_ = WordPiece::load(folder / "vocab.txt", result.folder_.words);
  if (result.words_.size() > shape.vocabulary) {
    throw WeightsError((folder / "vocab.txt").string() + ": has " +
                       std::to_string(result.words_.size()) + " tokens; at most the " +
                       std::to_string(shape.vocabulary) +
                       " of config.json's 'vocab_size' are expected");
  }
  const Reader read(context, folder / "model.safetensors");
  const std::size_t d = shape.width;
  result.word_table_ = read.tensor("embeddings.word_embeddings.weight", {shape.vocabulary, d});
  const auto positions = read.values("embeddings.position_embeddings.weight", {shape.positions, d});
  const auto types = read.values("embeddings.token_type_embeddings.weight", {shape.types, d});
  std::vector<float> sums(positions.begin(), positions.end());
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += types[i % d];
  result.position_table_ = read.placed({shape.positions, d}, sums);
  result.norm_in_ = read.norm("embeddings.LayerNorm", d);
  for (std::size_t k = 0; k < shape.blocks; ++k) {
    const std::string name = "encoder.layer." + std::to_string(k) + ".";
    result.blocks_.push_back({read.qkv(name + "attention.self.", d),
                              read.linear(name + "attention.output.dense", d, d),
                              read.norm(name + "attention.output.LayerNorm", d),
                              read.linear(name + "intermediate.dense", shape.hidden, d),
                              read.linear(name + "output.dense", d, shape.hidden),
                              read.norm(name + "output.LayerNorm", d)});
  }
  // Weights can be finite and too large to compute with.
  std::vector<float> trial(d);
  const std::string_view text = "[UNK]";
  result.encode(context, std::span(&text, 1), trial);
  if (!std::ranges::all_of(trial, [](float x) { return std::isfinite(x); })) {
    throw WeightsError((folder / "model.safetensors").string() +
                       ": makes vectors that are no numbers; weights of a trained model are "
                       "expected");
  }
  return result;
}

void SentenceEncoder::encode(const Context& context, std::span<const std::string_view> texts,
                             std::span<float> out) const {
  assert(out.size() == texts.size() * width());
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto ids = this->ids(texts[i]);
    if (batches.empty() || batches.back().ids.size() + ids.size() > context.tile().rows_max) {
      batches.emplace_back().first = i;
    }
    Batch& batch = batches.back();
    batch.ids.insert(batch.ids.end(), ids.begin(), ids.end());
    for (std::uint32_t k = 0; k < ids.size(); ++k) batch.positions.push_back(k);
    batch.offsets.push_back(static_cast<std::uint32_t>(batch.ids.size()));
  }
  Context each = context;
  each.threads = 1;
  const auto encode_some = [&](std::size_t begin, std::size_t end) {
    for (const Batch& batch : std::span(batches).subspan(begin, end - begin)) {
      context.check_stop();
      encode(each, batch, out.subspan(batch.first * width(), (batch.offsets.size() - 1) * width()));
    }
  };
  // A device does one thing at a time.
  spread(batches.size(), context.device == nullptr ? context.threads : 1, encode_some, 1);
}

void SentenceEncoder::encode_known(const Context& context, std::span<const std::string_view> texts,
                                   std::span<float> out) const {
  std::vector<std::string_view> known;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (ids(texts[i]).size() <= 2) continue;  // [CLS] and [SEP]
    known.push_back(texts[i]);
    places.push_back(i);
  }
  std::vector<float> vectors(known.size() * width());
  encode(context, known, vectors);
  std::ranges::fill(out, 0.0F);
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::copy_n(vectors.begin() + static_cast<std::ptrdiff_t>(i * width()), width(),
                out.begin() + static_cast<std::ptrdiff_t>(places[i] * width()));
  }
}

void SentenceEncoder::encode(const Context& context, const Batch& batch,
                             std::span<float> out) const {
  const SentenceShape& shape = folder_.shape;
  const std::size_t t = batch.ids.size();
  const std::size_t s = batch.offsets.size() - 1;
  const std::size_t d = shape.width;
  IndexLists lists;
  const auto id = lists.add(batch.ids);
  const auto position = lists.add(batch.positions);
  std::vector<std::uint32_t> text_of(t);
  std::vector<float> shares(t);  // of each token in its text's vector
  for (std::uint32_t i = 0; i < s; ++i) {
    const std::uint32_t begin = batch.offsets[i];
    const std::uint32_t end = batch.offsets[i + 1];
    for (std::uint32_t k = begin; k < end; ++k) {
      text_of[k] = i;
      shares[k] = folder_.pooling == SentenceFolder::Pooling::kMean
                      ? 1 / static_cast<float>(end - begin)
                      : static_cast<float>(k == begin);
    }
  }
  const auto sequence_lists = lists.add_sequences(batch.offsets);
  const auto text_lists = lists.add_segments(text_of);
  lists.place(context);

  Tensor x(context, {t, d});
  Tensor sum(context, {t, d});
  Tensor branch(context, {t, d});
  Tensor qkv(context, {t, 3 * d});
  Tensor hidden(context, {t, shape.hidden});
  Tensor mean(context, {t});
  Tensor rstd(context, {t});
  const auto linear = [&](const Linear& w, const Tensor& from, float beta, Tensor& to) {
    const std::size_t in = w.weight.rows();
    const std::size_t to_width = w.weight.columns();
    ops::gemm(context, Transpose::kNo, Transpose::kNo, t, to_width, in, 1, from.data(), in,
              w.weight.data(), to_width, beta, to.data(), to_width);
  };
  const auto normalise = [&](const Norm& w, const Tensor& from, Tensor& to) {
    ops::layer_norm(context, t, d, shape.norm_epsilon, from.data(), w.gain.data(), w.bias.data(),
                    to.data(), mean.data(), rstd.data());
  };
  // x = LayerNorm(x + W from)
  const auto add_branch = [&](const Linear& w, const Tensor& from, const Norm& norm) {
    linear(w, from, 1, x);
    ops::add_bias(context, t, d, w.bias.data(), x.data());
    normalise(norm, x, sum);
    std::swap(x, sum);
  };

  ops::copy_rows(context, t, d, lists.at(id), word_table_.data(), nullptr, x.data());
  ops::copy_rows(context, t, d, lists.at(position), position_table_.data(), nullptr, branch.data());
  ops::add(context, t * d, x.data(), branch.data(), sum.data());
  normalise(norm_in_, sum, x);
  for (const Block& block : blocks_) {
    linear(block.qkv, x, 0, qkv);
    ops::add_bias(context, t, 3 * d, block.qkv.bias.data(), qkv.data());
    ops::attention(context, lists.at(sequence_lists), shape.heads, d, qkv.data(), branch.data());
    add_branch(block.attended, branch, block.norm1);
    linear(block.expand, x, 0, hidden);
    ops::bias_gelu(context, t, shape.hidden, block.expand.bias.data(), hidden.data());
    add_branch(block.contract, hidden, block.norm2);
  }

  const Placed<float> factors(context, shares);
  Tensor pooled(context, {s, d});
  ops::add_segments(context, lists.at(text_lists), d, 1, factors.data(), x.data(), pooled.data());
  const std::vector<float> vectors = pooled.read();
  std::ranges::copy(vectors, out.begin());
  for (std::size_t i = 0; i < s; ++i) scale_to_unit(out.subspan(i * d, d));
}

}  // namespace fovea::ranking
