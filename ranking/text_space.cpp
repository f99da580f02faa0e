#include "ranking/text_space.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "ranking/sentence_encoder.h"
#include "ranking/spread.h"

namespace fovea::ranking {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Centre and whitening are measured on at most this many items, evenly spread: more change nothing.
constexpr std::size_t kFitItemsMax = 200'000;
// A channel whose variance is this small beside the strongest is rounding.
constexpr double kNegligibleVariance = 1e-6;

// Scales to unit length; zeros, and false, where there is no length.
bool to_unit(std::span<float> vector) {
  const double squares = std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0);
  if (!(squares > 1e-12)) {
    std::ranges::fill(vector, 0.0F);
    return false;
  }
  const auto factor = static_cast<float>(1 / std::sqrt(squares));
  for (float& value : vector) value *= factor;
  return true;
}

void check_width(const TextSource& source, std::size_t width) {
  if (!source.embedding.empty() && source.embedding.size() != width) {
    throw std::invalid_argument("an embedding has " + std::to_string(source.embedding.size()) +
                                " values; " + std::to_string(width) + " are right here");
  }
}

void put_unit(std::span<const float> embedding, std::span<float> out) {
  // Scaled by the largest value first: the squares of large finite values would be infinite.
  float largest = 0;
  for (const float value : embedding) largest = std::max(largest, std::abs(value));
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = largest > 0 ? embedding[k] / largest : 0;
  to_unit(out);
}

bool is_known(std::span<const float> vector) {
  return std::ranges::any_of(vector, [](float value) { return value != 0; });
}

void subtract(std::span<float> vector, std::span<const float> mean) {
  for (std::size_t k = 0; k < vector.size(); ++k) vector[k] -= mean[k];
}

// Sum over rows / divisor. [width]
std::vector<float> mean_of(const RowMajor& vectors, double divisor) {
  const Eigen::VectorXd sum = vectors.cast<double>().colwise().sum() / divisor;
  return {sum.begin(), sum.end()};
}

}  // namespace

TextSpace TextSpace::fit(std::span<const TextSource> items, const Options& options) {
  TextSpace result;
  const std::size_t width = result.width_ = options.width;
  std::vector<std::string_view> texts;
  for (const TextSource& item : items) {
    check_width(item, width);
    if (item.embedding.empty() && !item.text.empty()) texts.push_back(item.text);
  }
  if (options.sentences) {
    assert(options.sentences->width() == width);
    result.encoder_ = options.sentences;
  } else {
    TextEncoder::Options encoder_options;
    encoder_options.width = width;
    encoder_options.seed = options.seed;
    encoder_options.threads = options.threads;
    result.encoder_ = TextEncoder::fit(texts, encoder_options);
  }

  const std::size_t step = items.size() / kFitItemsMax + 1;
  const std::size_t sampled = (items.size() + step - 1) / step;
  RowMajor vectors(sampled, width);
  const auto row = [&](std::size_t i) { return std::span(vectors.data() + i * width, width); };
  spread(sampled, options.threads, [&](std::size_t begin, std::size_t end) {
    std::vector<TextSource> part;
    for (std::size_t i = begin; i < end; ++i) part.push_back(items[i * step]);
    result.encode_raw({}, part, {vectors.data() + begin * width, (end - begin) * width});
  });
  std::size_t n = 0;  // rows [0, n) are those of known items
  const auto keep = [&](std::size_t i) { std::ranges::copy(row(i), row(n++).begin()); };
  for (std::size_t i = 0; i < sampled; ++i) {
    if (is_known(row(i))) keep(i);
  }
  vectors.conservativeResize(static_cast<Eigen::Index>(n), Eigen::NoChange);
  // As if one item of zeros were there too: the only item of a catalogue, or one of many alike,
  // would otherwise be nothing but the mean.
  // A sentence encoder was trained for the cosine of its vectors as they are, and finds less by
  // centred ones.
  result.mean_ =
      options.sentences ? std::vector<float>(width) : mean_of(vectors, static_cast<double>(n) + 1);
  const std::size_t before = std::exchange(n, 0);
  for (std::size_t i = 0; i < before; ++i) {
    subtract(row(i), result.mean_);
    if (to_unit(row(i))) keep(i);
  }
  vectors.conservativeResize(static_cast<Eigen::Index>(n), Eigen::NoChange);
  result.whitening_mean_ = mean_of(vectors, std::max<double>(1, static_cast<double>(n)));
  result.fit_whitening(std::span(vectors.data(), n * width), options.whitened_max);
  return result;
}

void TextSpace::fit_whitening(std::span<const float> vectors, std::size_t whitened_max) {
  const auto width = static_cast<Eigen::Index>(width_);
  const auto n = static_cast<Eigen::Index>(width_ == 0 ? 0 : vectors.size() / width_);
  if (n < 2) return;
  const Eigen::RowVectorXd mean =
      Eigen::Map<const Eigen::RowVectorXf>(whitening_mean_.data(), width).cast<double>();
  Eigen::MatrixXd covariance = Eigen::MatrixXd::Zero(width, width);
  constexpr Eigen::Index kBlock = 4096;  // items in double precision at a time
  for (Eigen::Index at = 0; at < n; at += kBlock) {
    const Eigen::Map<const RowMajor> block(vectors.data() + at * width, std::min(kBlock, n - at),
                                           width);
    const Eigen::MatrixXd centred = block.cast<double>().rowwise() - mean;
    covariance.selfadjointView<Eigen::Lower>().rankUpdate(centred.transpose(), 1.0 / n);
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solved(covariance);
  const Eigen::VectorXd& variances = solved.eigenvalues();  // ascending
  const double least = std::max(kNegligibleVariance * variances[width - 1], 1e-12);
  std::size_t channels = 0;
  while (channels < std::min(width_, whitened_max) &&
         variances[width - 1 - static_cast<Eigen::Index>(channels)] > least) {
    ++channels;
  }
  whitened_width_ = channels;
  whitening_.resize(channels * width_);
  for (std::size_t z = 0; z < channels; ++z) {
    const Eigen::Index from_end = width - 1 - static_cast<Eigen::Index>(z);
    const double scale = 1 / std::sqrt(variances[from_end] * static_cast<double>(channels));
    Eigen::Map<Eigen::VectorXf>(whitening_.data() + z * width_, width) =
        (solved.eigenvectors().col(from_end) * scale).cast<float>();
  }
}

bool TextSpace::encode(const TextSource& source, std::span<float> out) const {
  encode({}, std::span(&source, 1), out);
  return is_known(out);
}

void TextSpace::encode(const Context& context, std::span<const TextSource> sources,
                       std::span<float> out) const {
  for (const TextSource& source : sources) check_width(source, width_);
  encode_raw(context, sources, out);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const auto vector = out.subspan(i * width_, width_);
    if (!is_known(vector)) continue;
    subtract(vector, mean_);
    to_unit(vector);
  }
}

// Unit vectors of embeddings, else of texts; zeros where nothing is known. out [n, K]
void TextSpace::encode_raw(const Context& context, std::span<const TextSource> sources,
                           std::span<float> out) const {
  const auto* lsa = std::get_if<TextEncoder>(&encoder_);
  const auto at = [&](std::size_t i) { return out.subspan(i * width_, width_); };
  std::vector<std::string_view> texts;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i].embedding.empty()) {
      put_unit(sources[i].embedding, at(i));
    } else if (lsa != nullptr) {
      lsa->encode(sources[i].text, at(i));
    } else {
      texts.push_back(sources[i].text);
      places.push_back(i);
    }
  }
  if (texts.empty()) return;
  std::vector<float> vectors(texts.size() * width_);
  sentences()->encode_known(context, texts, vectors);
  for (std::size_t i = 0; i < places.size(); ++i) {
    put_unit(std::span(vectors).subspan(i * width_, width_), at(places[i]));
  }
}

const SentenceEncoder* TextSpace::sentences() const {
  const auto* sentences = std::get_if<std::shared_ptr<const SentenceEncoder>>(&encoder_);
  return sentences == nullptr ? nullptr : sentences->get();
}

void TextSpace::whiten(std::span<const float> vectors, std::span<float> out) const {
  if (width_ == 0 || whitened_width_ == 0) return;
  const auto width = static_cast<Eigen::Index>(width_);
  const auto whitened = static_cast<Eigen::Index>(whitened_width_);
  const Eigen::Map<const RowMajor> matrix(whitening_.data(), whitened, width);
  const Eigen::Map<const Eigen::RowVectorXf> mean(whitening_mean_.data(), width);
  const std::size_t n = vectors.size() / width_;
  constexpr std::size_t kBlock = 1024;
  for (std::size_t at = 0; at < n; at += kBlock) {
    const auto rows = static_cast<Eigen::Index>(std::min(kBlock, n - at));
    const Eigen::Map<const RowMajor> from(vectors.data() + at * width_, rows, width);
    Eigen::Map<RowMajor> to(out.data() + at * whitened_width_, rows, whitened);
    to.noalias() = (from.rowwise() - mean) * matrix.transpose();
    for (Eigen::Index i = 0; i < rows; ++i) {
      if ((from.row(i).array() == 0).all()) to.row(i).setZero();
    }
  }
}

void TextSpace::save(Weights& weights) const {
  if (const auto* lsa = std::get_if<TextEncoder>(&encoder_)) lsa->save(weights);
  weights.put("text.mean", {width_}, mean_);
  weights.put("text.whitening_mean", {width_}, whitening_mean_);
  weights.put("text.whitening", {whitened_width_, width_}, whitening_);
}

TextSpace TextSpace::load(const Weights& weights,
                          std::shared_ptr<const SentenceEncoder> sentences) {
  TextSpace result;
  if (sentences) {
    result.width_ = sentences->width();
    result.encoder_ = std::move(sentences);
  } else {
    TextEncoder lsa = TextEncoder::load(weights);
    result.width_ = lsa.width();
    result.encoder_ = std::move(lsa);
  }
  const std::size_t width = result.width_;
  const auto& shape = weights.shape("text.whitening");
  if (shape.size() != 2) throw WeightsError("array 'text.whitening' is not a matrix");
  result.whitened_width_ = shape[0];
  const auto copy = [](std::span<const float> from) {
    return std::vector<float>(from.begin(), from.end());
  };
  result.mean_ = copy(weights.floats("text.mean", {width}));
  result.whitening_mean_ = copy(weights.floats("text.whitening_mean", {width}));
  result.whitening_ = copy(weights.floats("text.whitening", {shape[0], width}));
  return result;
}

}  // namespace fovea::ranking
