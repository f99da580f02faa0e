// What is learned of the encoder: its arrays, their names, and how they are written and read. See
// encoder.h.
#include <algorithm>

#include "ranking/encoder.h"
#include "ranking/random.h"

namespace fovea::ranking {

EncoderWeights::EncoderWeights(const EncoderShape& s) : shape(s) {
  const std::size_t d = s.width;
  items = Tensor({s.items, d});
  text = Tensor({d, s.whitened_width});
  positions = Tensor({s.behaviours_max, d});
  actions = Tensor({s.actions, d});
  gaps = Tensor({kGapBuckets, d});
  norm_in_gain = norm_in_bias = norm_out_gain = norm_out_bias = Tensor({d});
  for (Block& b : blocks) {
    if (s.gates) {
      b.gate1 = b.gate2 = Tensor({d, d});
      b.gate1_bias = b.gate2_bias = Tensor({d});
    }
    if (s.relative_bias) {
      b.age_bias = Tensor({s.heads, s.behaviours_max});
      b.gap_bias = Tensor({s.heads, kGapBuckets});
    }
    b.norm1_gain = b.norm1_bias = b.norm2_gain = b.norm2_bias = Tensor({d});
    b.qkv = Tensor({3 * d, d});
    b.qkv_bias = Tensor({3 * d});
    b.out = Tensor({d, d});
    b.out_bias = Tensor({d});
    b.expand = Tensor({4 * d, d});
    b.expand_bias = Tensor({4 * d});
    b.contract = Tensor({d, 4 * d});
    b.contract_bias = Tensor({d});
  }
}

EncoderWeights EncoderWeights::random(const EncoderShape& shape, std::uint64_t seed) {
  EncoderWeights weights(shape);
  Random random(seed);
  for (auto& [name, tensor] : weights.tensors()) {
    if (name.ends_with("_gain")) {
      std::fill(tensor->values().begin(), tensor->values().end(), 1.0F);
    } else if (!name.ends_with("_bias")) {
      for (float& value : tensor->values()) value = 0.02F * random.normal();
    }
  }
  weights.learned.assign(shape.items, 1.0F);
  return weights;
}

std::vector<std::pair<std::string, Tensor*>> EncoderWeights::tensors() {
  std::vector<std::pair<std::string, Tensor*>> all = {{"items", &items},
                                                      {"text", &text},
                                                      {"positions", &positions},
                                                      {"actions", &actions},
                                                      {"gaps", &gaps},
                                                      {"norm_in_gain", &norm_in_gain},
                                                      {"norm_in_bias", &norm_in_bias}};
  for (std::size_t i = 0; i < kBlocks; ++i) {
    Block& b = blocks[i];
    const std::string prefix = "block" + std::to_string(i) + ".";
    const std::pair<const char*, Tensor*> parts[] = {{"norm1_gain", &b.norm1_gain},
                                                     {"norm1_bias", &b.norm1_bias},
                                                     {"qkv", &b.qkv},
                                                     {"qkv_bias", &b.qkv_bias},
                                                     {"out", &b.out},
                                                     {"out_bias", &b.out_bias},
                                                     {"norm2_gain", &b.norm2_gain},
                                                     {"norm2_bias", &b.norm2_bias},
                                                     {"expand", &b.expand},
                                                     {"expand_bias", &b.expand_bias},
                                                     {"contract", &b.contract},
                                                     {"contract_bias", &b.contract_bias}};
    for (const auto& [name, tensor] : parts) all.emplace_back(prefix + name, tensor);
    if (shape.gates) {
      all.emplace_back(prefix + "gate1", &b.gate1);
      all.emplace_back(prefix + "gate1_bias", &b.gate1_bias);
      all.emplace_back(prefix + "gate2", &b.gate2);
      all.emplace_back(prefix + "gate2_bias", &b.gate2_bias);
    }
    if (shape.relative_bias) {
      all.emplace_back(prefix + "age_bias", &b.age_bias);
      all.emplace_back(prefix + "gap_bias", &b.gap_bias);
    }
  }
  all.emplace_back("norm_out_gain", &norm_out_gain);
  all.emplace_back("norm_out_bias", &norm_out_bias);
  return all;
}

std::vector<std::pair<std::string, const Tensor*>> EncoderWeights::tensors() const {
  std::vector<std::pair<std::string, const Tensor*>> all;
  for (auto& [name, tensor] : const_cast<EncoderWeights*>(this)->tensors()) {
    all.emplace_back(std::move(name), tensor);
  }
  return all;
}

EncoderWeights EncoderWeights::to(const Context& context) const {
  EncoderWeights copy;
  copy.shape = shape;
  copy.learned = learned;
  const auto from = tensors();
  const auto target = copy.tensors();
  for (std::size_t i = 0; i < from.size(); ++i) *target[i].second = from[i].second->to(context);
  return copy;
}

EncoderWeights EncoderWeights::for_states() const {
  EncoderWeights copy;
  copy.shape = shape;
  const auto from = tensors();
  const auto target = copy.tensors();
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i].second != &items && from[i].second != &text) *target[i].second = *from[i].second;
  }
  return copy;
}

void EncoderWeights::save(Weights& weights) const {
  for (const auto& [name, tensor] : tensors()) {
    weights.put("encoder." + name, tensor->shape(), tensor->read());
  }
  weights.put("encoder.learned", {learned.size()}, learned);
  weights.put_ids(
      "encoder.shape",
      {static_cast<std::uint32_t>(shape.width), static_cast<std::uint32_t>(shape.heads),
       static_cast<std::uint32_t>(shape.behaviours_max), static_cast<std::uint32_t>(shape.items),
       static_cast<std::uint32_t>(shape.whitened_width),
       static_cast<std::uint32_t>(shape.actions)});
}

EncoderWeights EncoderWeights::load(const Weights& weights) {
  const auto sizes = weights.ids("encoder.shape");
  if (sizes.size() != 6) throw WeightsError("encoder.shape has not 6 numbers");
  const EncoderShape shape{sizes[0],
                           sizes[1],
                           sizes[2],
                           sizes[3],
                           sizes[4],
                           sizes[5],
                           weights.has("encoder.block0.gate1"),
                           weights.has("encoder.block0.gap_bias")};
  if (shape.width == 0 || shape.heads == 0 || shape.width % shape.heads != 0 ||
      shape.behaviours_max == 0 || shape.actions == 0) {
    throw WeightsError("encoder.shape holds impossible sizes");
  }
  // Shapes are checked against the arrays in the file before anything of that size is made.
  if (weights.shape("encoder.items") != Weights::Shape{shape.items, shape.width} ||
      weights.shape("encoder.text") != Weights::Shape{shape.width, shape.whitened_width} ||
      weights.shape("encoder.positions") != Weights::Shape{shape.behaviours_max, shape.width} ||
      weights.shape("encoder.actions") != Weights::Shape{shape.actions, shape.width} ||
      weights.shape("encoder.block0.out") != Weights::Shape{shape.width, shape.width}) {
    throw WeightsError("encoder.shape does not agree with the arrays");
  }
  EncoderWeights result(shape);
  for (auto& [name, tensor] : result.tensors()) {
    const auto values = weights.floats("encoder." + name, tensor->shape());
    *tensor = Tensor(tensor->shape(), {values.begin(), values.end()});
  }
  const auto learned = weights.floats("encoder.learned", {shape.items});
  result.learned.assign(learned.begin(), learned.end());
  return result;
}

}  // namespace fovea::ranking
