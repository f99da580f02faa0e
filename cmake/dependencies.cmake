# Where each dependency is found. Names what to install when one is missing; `make build` installs them all.
find_package(Threads REQUIRED)
# A sanitizer cannot see into an OpenMP runtime that is not built with it, so those builds run without.
if(NOT FOVEA_SANITIZE)
  find_package(OpenMP COMPONENTS CXX)
endif()
if(NOT TARGET OpenMP::OpenMP_CXX)
  add_library(OpenMP::OpenMP_CXX INTERFACE IMPORTED GLOBAL)
endif()
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(OpenSSL REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Eigen3 REQUIRED)
find_package(GTest REQUIRED)

# fovea_find_library(target library header): an imported target for a package that brings no CMake file.
function(fovea_find_library target library header)
  find_library(${target}_LIBRARY NAMES ${library} REQUIRED)
  find_path(${target}_INCLUDE ${header} REQUIRED)
  add_library(${target} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION ${${target}_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${${target}_INCLUDE})
endfunction()

fovea_find_library(fovea::rocksdb rocksdb rocksdb/db.h)
fovea_find_library(fovea::thrift thrift thrift/Thrift.h)
fovea_find_library(fovea::dnnl dnnl oneapi/dnnl/dnnl.h)
fovea_find_library(fovea::openblas openblas cblas.h)
fovea_find_library(fovea::utf8proc utf8proc utf8proc.h)
find_program(THRIFT_COMPILER thrift REQUIRED)

include(${CMAKE_CURRENT_LIST_DIR}/faiss.cmake)
