// cuBLAS as found when a device is opened; see ARCHITECTURE.md for why it is not linked.
#pragma once

#include <cublas_v2.h>

namespace fovea::ranking {

/// Throws DeviceError with a sentence unless `status` is success. `what` was being done:
/// "multiply".
void check(cublasStatus_t status, const char* what);

struct Cublas {
  decltype(&cublasCreate_v2) create;
  decltype(&cublasDestroy_v2) destroy;
  decltype(&cublasSetStream_v2) set_stream;
  /// cublasGemmEx, which C++ overloads.
  cublasStatus_t (*gemm)(cublasHandle_t handle, cublasOperation_t a_transposed,
                         cublasOperation_t b_transposed, int m, int n, int k, const void* alpha,
                         const void* a, cudaDataType a_type, int lda, const void* b,
                         cudaDataType b_type, int ldb, const void* beta, void* c,
                         cudaDataType c_type, int ldc, cublasComputeType_t compute,
                         cublasGemmAlgo_t algorithm);

  /// Throws DeviceError where the library or a function of it is missing. Never unloaded.
  static const Cublas& load();
};

}  // namespace fovea::ranking
