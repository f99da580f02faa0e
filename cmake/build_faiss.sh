#!/bin/sh
# Builds Faiss for this machine's processor from Debian's source package: the version of libfaiss-dev, with AVX2 where the
# package must keep to SSE2, and with the GPU indexes where CUDA's compiler is found. CUDA_ARCHITECTURES says for which
# GPUs, "90" (Hopper) by default, several as "80;90". The library lands in the cache outside the checkout, where
# cmake/faiss.cmake looks first. Does nothing when it is already there. The machine's own package sources stay as they are.
set -eu

version=1.7.3
checkout=$(cd "$(dirname "$0")/.." && pwd)
cache="$HOME/.cache/fovea"
name="faiss-$version-avx2"
fail() {
  echo "build_faiss.sh: $1" >&2
  exit 1
}

nvcc=$(command -v nvcc || true)
[ -n "$nvcc" ] || [ ! -x /usr/local/cuda/bin/nvcc ] || nvcc=/usr/local/cuda/bin/nvcc
architectures=${CUDA_ARCHITECTURES:-90}
what=AVX2
if [ -n "$nvcc" ]; then
  name="$name-gpu$(echo "$architectures" | tr ';' '-')"
  what="AVX2 and the GPU indexes (sm $architectures)"
fi

# Builds configured before this one was there are configured again.
configure_again() {
  for configured in build build-asan build-tsan; do
    [ ! -e "$checkout/$configured/build.ninja" ] ||
      cmake ${nvcc:+"-DCMAKE_CUDA_ARCHITECTURES=$architectures"} "$checkout/$configured" >/dev/null
  done
}

if [ -e "$cache/$name/lib/libfaiss.a" ]; then
  echo "Faiss $version with $what is already built: $cache/$name"
  exit 0
fi
grep -qw avx2 /proc/cpuinfo || fail "this processor has no AVX2; Debian's package is the right Faiss for it"
[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = bookworm ] ||
  fail "the sources of Faiss $version are those of Debian 12 (bookworm), and this is another system"

# Where this machine gets bookworm from: one-line entries first, then the newer form in paragraphs.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -nE \
  's/^[[:space:]]*deb(-src)?[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]]+bookworm[[:space:]].*/\3/p' | head -n 1)
[ -n "$mirror" ] || mirror=$(for file in /etc/apt/sources.list.d/*.sources; do
  [ ! -e "$file" ] || { cat "$file"; echo; }
done | awk '
  function paragraph_ends() { if (bookworm && uri != "") { print uri; exit } uri = ""; bookworm = 0 }
  tolower($1) == "uris:" { uri = $2 }
  tolower($1) == "suites:" { for (i = 2; i <= NF; i++) if ($i == "bookworm") bookworm = 1 }
  NF == 0 { paragraph_ends() }')
[ -n "$mirror" ] || fail "no entry for bookworm in /etc/apt/sources.list or /etc/apt/sources.list.d"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
signed=
[ ! -e $keyring ] || signed="[signed-by=$keyring] "
echo "deb-src $signed$mirror bookworm main" >"$work/sources.list"
apt_here() {
  apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts="$work/parts" \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}
echo "Fetching the sources of Faiss $version from $mirror"
cd "$work"
apt_here update
apt_here source --download-only faiss
[ -e "faiss_$version.orig.tar.gz" ] || fail "$mirror has another version of Faiss than $version"
# Debian's patches touch Faiss' tests, its Python module and other processors, none of which is built.
mkdir source
tar -xf "faiss_$version.orig.tar.gz" -C source --strip-components=1

set -- -DFAISS_ENABLE_GPU=OFF
if [ -n "$nvcc" ]; then
  set -- -DFAISS_ENABLE_GPU=ON "-DCMAKE_CUDA_COMPILER=$nvcc" "-DCMAKE_CUDA_ARCHITECTURES=$architectures" \
    -DCMAKE_CUDA_STANDARD=17
  # A failed check, such as any CUDA call on a device that is lost, ends the whole process. Here it throws, so that a
  # server can go on without the device; in a destructor that runs because of such an exception it is passed over.
  sed -i -e 's/abort();/if (std::uncaught_exceptions() == 0) FAISS_THROW_MSG("check failed: " #X);/' \
    -e 's/#include <cstdlib>/&\n#include <exception>/' source/faiss/impl/FaissAssert.h
  [ "$(grep -c 'uncaught_exceptions() == 0) FAISS_THROW_MSG' source/faiss/impl/FaissAssert.h)" = 3 ] ||
    fail "FaissAssert.h is not as it was in $version"
  # The kernels select up to 2048; the check before them stops at 2047.
  sed -i 's/< (Index::idx_t)getMaxKSelection()/<= (Index::idx_t)getMaxKSelection()/' source/faiss/gpu/impl/IndexUtils.cu
fi
if command -v ccache >/dev/null; then
  export CCACHE_BASEDIR="$work"  # what lies there counts by its relative path: the folder has a new name every time
  set -- "$@" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache
fi
echo "Building Faiss $version with $what; with the GPU indexes that takes some 16 minutes on 2 cores"
cmake -G Ninja -S source -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
  -DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF -DFAISS_OPT_LEVEL=avx2 \
  -DFAISS_ENABLE_PYTHON=OFF -DBLA_VENDOR=OpenBLAS "$@"
nice ninja -C build faiss_avx2

# Put together beside its final place, so that nobody ever finds half of it.
mkdir -p "$cache"
ready=$(mktemp -d "$cache/.$name.XXXXXX")
mkdir -p "$ready/lib" "$ready/include"
cp build/faiss/libfaiss_avx2.a "$ready/lib/libfaiss.a"
headers() { (cd source && find faiss -name '*.h' "$@" -exec cp --parents -t "$ready/include" {} +); }
if [ -n "$nvcc" ]; then headers; else headers -not -path 'faiss/gpu/*'; fi
chmod 755 "$ready"
rm -rf "${cache:?}/$name"
mv "$ready" "$cache/$name"
echo "Faiss $version with $what is built: $cache/$name"
configure_again
