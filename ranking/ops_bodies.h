// The bodies of ops.h that run: cpu:: on the host, cuda:: on a device. Only ops.cpp chooses, and
// only tests call one by name.
#pragma once

#include "ranking/ops.h"

// Each is declared with the type of its namesake in ops.h.
namespace fovea::ranking::ops::cpu {

decltype(ops::gemm) gemm;
decltype(ops::layer_norm) layer_norm;
decltype(ops::layer_norm_backward) layer_norm_backward;
decltype(ops::causal_attention) causal_attention;
decltype(ops::causal_attention_backward) causal_attention_backward;
decltype(ops::pair_gaps) pair_gaps;
decltype(ops::relative_bias) relative_bias;
decltype(ops::relative_bias_backward) relative_bias_backward;
decltype(ops::softmax_cross_entropy) softmax_cross_entropy;
decltype(ops::sampled_logits) sampled_logits;
decltype(ops::bias_relu) bias_relu;
decltype(ops::relu_backward) relu_backward;
decltype(ops::gated_residual) gated_residual;
decltype(ops::gated_residual_backward) gated_residual_backward;
decltype(ops::add) add;
decltype(ops::add_bias) add_bias;
decltype(ops::add_bias_backward) add_bias_backward;
decltype(ops::dropout) dropout;
decltype(ops::embed) embed;
decltype(ops::add_segments) add_segments;
decltype(ops::copy_rows) copy_rows;
decltype(ops::add_rows) add_rows;
decltype(ops::add_to_rows) add_to_rows;
decltype(ops::zero_rows) zero_rows;
decltype(ops::adam) adam;
decltype(ops::adam_rows) adam_rows;
decltype(ops::count_better) count_better;
decltype(ops::exponential) exponential;

}  // namespace fovea::ranking::ops::cpu

namespace fovea::ranking::ops::cuda {

decltype(ops::gemm) gemm;
decltype(ops::layer_norm) layer_norm;
decltype(ops::layer_norm_backward) layer_norm_backward;
decltype(ops::causal_attention) causal_attention;
decltype(ops::causal_attention_backward) causal_attention_backward;
decltype(ops::pair_gaps) pair_gaps;
decltype(ops::relative_bias) relative_bias;
decltype(ops::relative_bias_backward) relative_bias_backward;
decltype(ops::softmax_cross_entropy) softmax_cross_entropy;
decltype(ops::sampled_logits) sampled_logits;
decltype(ops::bias_relu) bias_relu;
decltype(ops::relu_backward) relu_backward;
decltype(ops::gated_residual) gated_residual;
decltype(ops::gated_residual_backward) gated_residual_backward;
decltype(ops::add) add;
decltype(ops::add_bias) add_bias;
decltype(ops::add_bias_backward) add_bias_backward;
decltype(ops::dropout) dropout;
decltype(ops::embed) embed;
decltype(ops::add_segments) add_segments;
decltype(ops::copy_rows) copy_rows;
decltype(ops::add_rows) add_rows;
decltype(ops::add_to_rows) add_to_rows;
decltype(ops::zero_rows) zero_rows;
decltype(ops::adam) adam;
decltype(ops::adam_rows) adam_rows;
decltype(ops::count_better) count_better;
decltype(ops::exponential) exponential;

}  // namespace fovea::ranking::ops::cuda
