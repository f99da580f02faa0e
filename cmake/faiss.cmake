# Faiss: the build that `make faiss` left in the cache when there is one, else Debian's package.
set(FOVEA_CACHE "$ENV{HOME}/.cache/fovea" CACHE PATH "Where `make faiss` puts its build")
fovea_find_library(fovea::faiss faiss faiss/IndexFlat.h)
set(FOVEA_FAISS_BUILD "Debian package (SSE2, CPU)")
