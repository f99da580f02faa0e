// The functions of cuBLAS that the program calls, under their own names: each opens the library
// with its first call and passes the call on. The library is half a gigabyte and comes with CUDA,
// which most machines do not have; a program linked against it would not start there.
#include <cublas_v2.h>
#include <dlfcn.h>

#include <string>

namespace {

void* open_cublas() {
  const std::string file = "libcublas.so." + std::to_string(CUBLAS_VER_MAJOR);
  // Then where NVIDIA's own installers put it, without telling the loader.
  for (const char* folder :
       {"", "/usr/local/cuda/lib64/", "/usr/local/cuda/targets/x86_64-linux/lib/"}) {
    if (void* library = dlopen((folder + file).c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

// Null where the library or the function is not there.
void* find(const char* name) {
  static void* const library = open_cublas();
  return library == nullptr ? nullptr : dlsym(library, name);
}

// The arguments come with the types of the parameters, and so give the function's type.
template <typename... Arguments>
cublasStatus_t call(void* function, Arguments... arguments) {
  if (function == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  return reinterpret_cast<cublasStatus_t (*)(Arguments...)>(function)(arguments...);
}

}  // namespace

// One look-up per function.
#define CALL(name, ...)                     \
  static void* const function = find(name); \
  return call(function, __VA_ARGS__)

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { CALL("cublasCreate_v2", handle); }

/// Needs no handle and no device: fails only where cuBLAS is not installed.
cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) {
  CALL("cublasGetProperty", type, value);
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) { CALL("cublasDestroy_v2", handle); }

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  CALL("cublasSetStream_v2", handle, stream);
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  CALL("cublasGetMathMode", handle, mode);
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  CALL("cublasSetMathMode", handle, mode);
}

cublasStatus_t cublasSgemmEx(cublasHandle_t handle, cublasOperation_t a_operation,
                             cublasOperation_t b_operation, int m, int n, int k, const float* alpha,
                             const void* a, cudaDataType a_type, int lda, const void* b,
                             cudaDataType b_type, int ldb, const float* beta, void* c,
                             cudaDataType c_type, int ldc) {
  CALL("cublasSgemmEx", handle, a_operation, b_operation, m, n, k, alpha, a, a_type, lda, b, b_type,
       ldb, beta, c, c_type, ldc);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t a_operation,
                            cublasOperation_t b_operation, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c,
                            cudaDataType c_type, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t algorithm) {
  CALL("cublasGemmEx", handle, a_operation, b_operation, m, n, k, alpha, a, a_type, lda, b, b_type,
       ldb, beta, c, c_type, ldc, compute, algorithm);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t a_operation,
                                          cublasOperation_t b_operation, int m, int n, int k,
                                          const void* alpha, const void* a, cudaDataType a_type,
                                          int lda, long long int a_stride, const void* b,
                                          cudaDataType b_type, int ldb, long long int b_stride,
                                          const void* beta, void* c, cudaDataType c_type, int ldc,
                                          long long int c_stride, int count,
                                          cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  CALL("cublasGemmStridedBatchedEx", handle, a_operation, b_operation, m, n, k, alpha, a, a_type,
       lda, a_stride, b, b_type, ldb, b_stride, beta, c, c_type, ldc, c_stride, count, compute,
       algorithm);
}

}  // extern "C"
