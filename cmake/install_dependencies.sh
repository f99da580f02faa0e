#!/bin/sh
# Installs the Debian packages that are missing for the purposes named: install_dependencies.sh build test ...
# The one list of packages. Silent and quick when nothing is missing; the network is used only when something is.
set -eu

# The program, and the small test libraries that are configured with it.
build="g++ cmake ninja-build pkg-config
  librocksdb-dev libfaiss-dev libdnnl-dev libopenblas-dev libeigen3-dev libboost1.81-dev libboost-json1.81-dev
  libthrift-dev thrift-compiler libssl-dev libutf8proc-dev libstemmer-dev zlib1g-dev libzstd-dev libjemalloc-dev
  libcli11-dev libtomlplusplus-dev libspdlog-dev libfmt-dev
  prometheus-cpp-dev libjs-chart.js
  libgtest-dev libgmock-dev librapidcheck-dev"
# The foreign client that the server is tested with, and what makes certificates for it. python3-thrift needs six and its
# package does not say so. parallel and zstd: shards and files as users of `fovea rank` have them. chromium: what the
# console is looked at with.
test="python3 python3-thrift python3-six python3-selenium openssl parallel zstd chromium chromium-driver"
# Formatting.
format="clang-format-19"
# Sanitizers, fuzzers and lint.
check="clang-19 libclang-rt-19-dev llvm-19 lld-19 clang-tidy-19 clang-format-19"
# libevent-dev: Thrift's non-blocking server, which ours is compared with, is linked with it.
bench="libbenchmark-dev libevent-dev"

wanted=
for purpose in "$@"; do
  case $purpose in
    build | test | format | check | bench) eval "wanted=\"\$wanted \$$purpose\"" ;;
    *) echo "install_dependencies.sh: unknown purpose '$purpose'; known: build test format check bench" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null; then
  echo "Not a Debian system; install the equivalents of:" $wanted >&2
  exit 0
fi

# dpkg-query fails for a package it has never heard of and still lists the others.
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null || true)
missing=
for package in $wanted; do
  case "
$installed
" in
    *"
$package installed
"*) ;;
    *) missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null; then
  as_root=sudo
else
  echo "These Debian packages are missing, and installing them needs root: apt-get install$missing" >&2
  exit 1
fi

echo "Installing$missing"
$as_root apt-get update -q
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o Dpkg::Use-Pty=0 --no-install-recommends $missing
