#include "index/sq8_query.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fovea::index {
namespace {

constexpr float kCodeMax = 255;

// out [n] = base + codes [n, D] . weights [D]
using Products = void(std::size_t n, std::size_t d, const float* weights, const std::uint8_t* codes,
                      float base, float* out);

float product_of(std::size_t d, const float* weights, const std::uint8_t* code) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t k = 0; k < d; ++k) sum += weights[k] * static_cast<float>(code[k]);
  return sum;
}

void plain(std::size_t n, std::size_t d, const float* weights, const std::uint8_t* codes,
           float base, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = base + product_of(d, weights, codes + i * d);
}

#if defined(__x86_64__)
// By hand: compilers widen bytes in a way that takes more than twice the time.
__attribute__((target("avx512f"))) void wide(std::size_t n, std::size_t d, const float* weights,
                                             const std::uint8_t* codes, float base, float* out) {
  constexpr std::size_t kLanes = 16;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint8_t* code = codes + i * d;
    __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    std::size_t k = 0;
    for (; k + 2 * kLanes <= d; k += 2 * kLanes) {
      for (std::size_t half = 0; half < 2; ++half) {
        const std::size_t at = k + half * kLanes;
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(code + at));
        sums[half] = _mm512_fmadd_ps(_mm512_loadu_ps(weights + at),
                                     _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), sums[half]);
      }
    }
    out[i] = base + _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1])) +
             product_of(d - k, weights + k, code + k);
  }
}
Products* const kProductsOf = __builtin_cpu_supports("avx512f") != 0 ? wide : plain;
#else
Products* const kProductsOf = plain;
#endif

}  // namespace

// A code c stands for least + (c + 1/2) / 255 * range.
Sq8Query::Sq8Query(std::span<const float> query, std::span<const float> trained) {
  const std::size_t d = query.size();
  weights_.reserve(d);
  for (std::size_t k = 0; k < d; ++k) {
    weights_.push_back(query[k] * trained[d + k] / kCodeMax);
    least_ += query[k] * trained[k] + weights_.back() / 2;
  }
}

float Sq8Query::product(const std::uint8_t* code) const {
  float result = 0;
  products(1, code, 0, &result);
  return result;
}

void Sq8Query::products(std::size_t n, const std::uint8_t* codes, float base, float* out) const {
  kProductsOf(n, weights_.size(), weights_.data(), codes, base + least_, out);
}

}  // namespace fovea::index
