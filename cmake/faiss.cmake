# Faiss: the build that `make faiss` left in the cache when there is one, else Debian's package.
set(FOVEA_CACHE "$ENV{HOME}/.cache/fovea" CACHE PATH "Where `make faiss` puts its build")
set(faiss_built ${FOVEA_CACHE}/faiss-1.7.3-avx2)
if(EXISTS ${faiss_built}/lib/libfaiss.a)
  set(FOVEA_FAISS_BUILD "built from source (AVX2, CPU)")
  add_library(fovea::faiss UNKNOWN IMPORTED GLOBAL)
  set_target_properties(fovea::faiss PROPERTIES
    IMPORTED_LOCATION ${faiss_built}/lib/libfaiss.a INTERFACE_INCLUDE_DIRECTORIES ${faiss_built}/include)
else()
  set(FOVEA_FAISS_BUILD "Debian package (SSE2, CPU)")
  fovea_find_library(fovea::faiss faiss faiss/IndexFlat.h)
endif()
# Both are static. GNU's OpenMP runtime by name: they were built with it, whatever compiles ours.
set_property(TARGET fovea::faiss PROPERTY INTERFACE_LINK_LIBRARIES "fovea::openblas;gomp")
