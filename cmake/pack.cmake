# FOVEA_PACK: programs that run where only a GPU driver and Debian 12's C library (or a newer one) are. Every other
# library goes in as an archive. For the programs of tests/gpu.sh; what needs RocksDB or Thrift is not among them.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
set(Boost_USE_STATIC_LIBS ON)
add_link_options(-static-libgcc -static-libstdc++ -Wl,--as-needed)
# Compilers ask for their runtimes by name. A folder that has only the archives, searched first, makes those names static.
set(archives ${PROJECT_BINARY_DIR}/archives)
file(MAKE_DIRECTORY ${archives})
foreach(name gomp gfortran quadmath)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=lib${name}.a
    OUTPUT_VARIABLE archive OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(IS_ABSOLUTE "${archive}")
    file(CREATE_LINK ${archive} ${archives}/lib${name}.a SYMBOLIC)
  endif()
endforeach()
add_link_options(-L${archives})
