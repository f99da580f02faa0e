// oneDNN's one call that the CPU's ops use, over OpenBLAS: Debian has no archive of oneDNN, and a
// packed program (cmake/pack.cmake) is linked with archives only. Slower; for tests, not shipped.
#include <cblas.h>
#include <oneapi/dnnl/dnnl.h>

extern "C" dnnl_status_t DNNL_API dnnl_sgemm(char transa, char transb, dnnl_dim_t m, dnnl_dim_t n,
                                             dnnl_dim_t k, float alpha, const float* a,
                                             dnnl_dim_t lda, const float* b, dnnl_dim_t ldb,
                                             float beta, float* c, dnnl_dim_t ldc) {
  const auto flag = [](char t) { return t == 'T' ? CblasTrans : CblasNoTrans; };
  const auto size = [](dnnl_dim_t x) { return static_cast<blasint>(x); };
  cblas_sgemm(CblasRowMajor, flag(transa), flag(transb), size(m), size(n), size(k), alpha, a,
              size(lda), b, size(ldb), beta, c, size(ldc));
  return dnnl_success;
}
