// Matrix products on a device: cuBLAS.
#include <cuda_bf16.h>

#include <cstdlib>
#include <limits>
#include <optional>

#include "ranking/cublas.cuh"
#include "ranking/device_cuda.cuh"
#include "ranking/ops_bodies.h"
#include "ranking/reduce_cuda.cuh"

namespace fovea::ranking::ops::cuda {
namespace {

// to [rows, ld]: from rounded, zero past `columns`.
__global__ void round_rows(std::size_t rows, std::size_t columns, const float* from,
                           std::size_t from_ld, __nv_bfloat16* to, std::size_t ld) {
  for (std::size_t i = thread_number(); i < rows * ld; i += thread_count()) {
    const std::size_t column = i % ld;
    to[i] = __float2bfloat16_rn(column < columns ? from[i / ld * from_ld + column] : 0.0F);
  }
}

__global__ void scale_matrix(std::size_t m, std::size_t n, float beta, float* c, std::size_t ldc) {
  for (std::size_t i = thread_number(); i < m * n; i += thread_count()) {
    float& value = c[i / n * ldc + i % n];
    value = beta == 0 ? 0 : beta * value;
  }
}

int size(std::size_t n) {
  if (n > static_cast<std::size_t>(std::numeric_limits<int>::max())) std::abort();
  return static_cast<int>(n);
}

// One factor of a product as cuBLAS reads it.
struct Factor {
  const void* data;
  std::size_t ld;
  cudaDataType_t type;
};

// `rows` and `columns` as stored.
Factor round_factor(const Context& context, std::size_t rows, std::size_t columns,
                    const float* values, std::size_t ld, const Scratch& scratch) {
  const std::size_t packed = lanes::packed_ld(columns);
  launch(context, round_rows, blocks_for(rows * packed), kBlock, rows, columns, values, ld,
         scratch.as<__nv_bfloat16>(), packed);
  return {scratch.as<void>(), packed, CUDA_R_16BF};
}

}  // namespace

void gemm(const Context& context, Transpose a_transposed, Transpose b_transposed, std::size_t m,
          std::size_t n, std::size_t k, float alpha, const float* a, std::size_t lda,
          const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    launch(context, scale_matrix, blocks_for(m * n), kBlock, m, n, beta, c, ldc);
    return;
  }
  Factor left{a, lda, CUDA_R_32F};
  Factor right{b, ldb, CUDA_R_32F};
  std::optional<Scratch> left_scratch;
  std::optional<Scratch> right_scratch;
  if (context.products == Products::kBfloat16) {
    const bool a_flip = a_transposed == Transpose::kYes;
    const bool b_flip = b_transposed == Transpose::kYes;
    const std::size_t a_rows = a_flip ? k : m;
    const std::size_t b_rows = b_flip ? n : k;
    const std::size_t a_columns = a_flip ? m : k;
    const std::size_t b_columns = b_flip ? k : n;
    left_scratch.emplace(context, a_rows * lanes::packed_ld(a_columns) * sizeof(__nv_bfloat16));
    right_scratch.emplace(context, b_rows * lanes::packed_ld(b_columns) * sizeof(__nv_bfloat16));
    left = round_factor(context, a_rows, a_columns, a, lda, *left_scratch);
    right = round_factor(context, b_rows, b_columns, b, ldb, *right_scratch);
  }
  const lanes::ColumnMajor p =
      lanes::column_major(a_transposed, b_transposed, m, n, k, left.ld, right.ld);
  const auto flag = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const Device::Handles& device = context.device->handles();
  // 32-bit floats throughout: this type of computation does not use TF32.
  check(cublasGemmEx(device.blas, flag(p.first_transposed), flag(p.second_transposed), size(p.m),
                     size(p.n), size(p.k), &alpha, right.data, right.type, size(p.first_ld),
                     left.data, left.type, size(p.second_ld), &beta, c, CUDA_R_32F, size(ldc),
                     CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        "multiply matrices");
}

}  // namespace fovea::ranking::ops::cuda
