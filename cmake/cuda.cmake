# CUDA where its compiler is found; without it everything else is built and there is no device. Sets FOVEA_CUDA.
set(FOVEA_CUDA OFF)
find_program(FOVEA_NVCC nvcc HINTS ENV CUDACXX PATHS /usr/local/cuda/bin)
# Sanitizers do not know device code, and nvcc wants GNU's compiler on the host's side.
if(FOVEA_NVCC AND NOT FOVEA_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(FOVEA_CUDA ON)
  set(CMAKE_CUDA_COMPILER ${FOVEA_NVCC})
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90 CACHE STRING "Processors to compile device code for: 80 for A100, 90 for H100 and H200")
  endif()
  if(CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  # The program must start where no CUDA is installed.
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  enable_language(CUDA)
  # CMake 3.25 does not know that nvcc takes the standard that ours are written in.
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  # cuBLAS is opened when it is first called, for the same reason.
  find_package(CUDAToolkit REQUIRED)
  add_library(fovea_cublas STATIC ${CMAKE_CURRENT_LIST_DIR}/cublas_on_demand.cpp)
  target_include_directories(fovea_cublas SYSTEM PUBLIC ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(fovea_cublas PUBLIC CUDA::cudart_static ${CMAKE_DL_LIBS})
endif()
