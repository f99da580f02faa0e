// Errors of cuBLAS as exceptions. Apart from device_cuda.cuh, so that its header is read where
// matrices are multiplied only.
#pragma once

#include <cublas_v2.h>

namespace fovea::ranking {

/// Throws DeviceError with a sentence unless `status` is success. `what` was being done:
/// "multiply".
void check(cublasStatus_t status, const char* what);

}  // namespace fovea::ranking
