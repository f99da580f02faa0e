#!/bin/sh
# The tests and benchmarks that need a GPU, for a machine that has little else.
#   tests/gpu.sh pack [FOLDER]   builds every test with the label gpu and every GPU benchmark into FOLDER (build-gpu/pack),
#                                at most 60 MB, for Debian 12 or newer; with this script and the comparison with PyTorch
#   tests/gpu.sh run [FOLDER]    runs all of FOLDER (the script's own), under 8 minutes, and prints one table last.
#                                Logs and JSON go to FOLDER/results, or where FOVEA_RESULTS says. Exit code 1: a test failed.
#   tests/gpu.sh sanitize [FOLDER]  runs the tests under compute-sanitizer instead; slow
set -eu

here=$(cd "$(dirname "$0")" && pwd)
command=${1:-}

pack() {
  source=$(cd "$here/.." && pwd)
  folder=${1:-$source/build-gpu/pack}
  # The release build's flags, so that ccache has most of it.
  cmake -S "$source" -B "$source/build-gpu" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DFOVEA_PACK=ON \
    -DFOVEA_BENCHMARKS=ON >/dev/null
  ninja -C "$source/build-gpu" -j "${JOBS:-$(nproc)}" gpu_programs
  rm -rf "$folder" "$source/build-gpu/stripped"
  mkdir -p "$folder" "$source/build-gpu/stripped"
  : >"$folder/programs.txt"
  while read -r kind path; do
    name=$(basename "$path")
    strip -o "$source/build-gpu/stripped/$name" "$path"
    echo "$kind $name" >>"$folder/programs.txt"
    # What Debian's C library and loader do not have must not be needed.
    needed=$(objdump -p "$path" | awk '$1 == "NEEDED" { print $2 }' | grep -Ev '^(libc|libm|ld-linux.*)\.so' || true)
    if [ -n "$needed" ]; then
      echo "gpu.sh: $name needs shared libraries that a bare machine lacks:" $needed >&2
      exit 1
    fi
  done <"$source/build-gpu/gpu_programs.txt"
  # Each program has OpenBLAS in it: much the same bytes again, which the archive keeps once.
  tar -C "$source/build-gpu/stripped" -c . | xz --lzma2=preset=2,dict=256MiB >"$folder/programs.tar.xz"
  cp "$source/tests/gpu.sh" "$source/tests/benchmarks/gpu_peer.py" "$folder"
  size=$(du -sm "$folder" | cut -f 1)
  echo "$folder: $(wc -l <"$folder/programs.txt") programs, $size MB"
  if [ "$size" -gt 60 ]; then
    echo "gpu.sh: that is more than 60 MB" >&2
    exit 1
  fi
}

# unpack FOLDER: its programs, in $results/programs.
unpack() {
  mkdir -p "$results/programs"
  "${PYTHON:-python3}" -m tarfile -e "$1/programs.tar.xz" "$results/programs"
  chmod +x "$results"/programs/*
}

# limited SECONDS LOG COMMAND...: runs it with its output in LOG; 124 or 137 when it took too long.
limited() {
  seconds=$1
  log=$2
  shift 2
  timeout -k 5 "$seconds" "$@" >"$log" 2>&1
}

# count PATTERN LOG
count() {
  grep -cE "$1" "$2" || true
}

run() {
  folder=${1:-$here}
  results=${FOVEA_RESULTS:-$folder/results}
  begin=$(date +%s)
  unpack "$folder"
  # cuBLAS may be there with PyTorch only.
  wheels=$("${PYTHON:-python3}" -c 'import glob, os, sys
print(":".join(sorted({os.path.dirname(f) for p in sys.path for f in glob.glob(p + "/nvidia/*/lib/libcublas.so.*")})))' \
    2>/dev/null || true)
  [ -z "$wheels" ] || export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$wheels"
  table=$results/table.txt
  failed=0
  {
    echo "machine   $(uname -srm), $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null ||
      echo 'no GPU driver')"
    echo "date      $(date -u +%Y-%m-%d)"
    printf '%-28s %-8s %6s %7s %7s %5s\n' program result passed skipped failed s
  } >"$table"
  while read -r kind name; do
    log=$results/$name.log
    started=$(date +%s)
    # What is left of 7 minutes, and no more than two, so that one that hangs leaves time; PyTorch has the last.
    left=$((begin + 420 - started))
    [ "$left" -lt 120 ] || left=120
    [ "$left" -gt 5 ] || left=5
    status=0
    if [ "$kind" = test ]; then
      limited "$left" "$log" "$results/programs/$name" || status=$?
    else
      limited "$left" "$log" "$results/programs/$name" "$results/$name.json" || status=$?
    fi
    passed=$(count '^\[       OK \]' "$log")
    skipped=$(count '^\[  SKIPPED \].*\([0-9]+ ms\)|^skipped: ' "$log")
    broken=$(count '^\[  FAILED  \].*\([0-9]+ ms\)' "$log")
    case $status in
      0) result=ok ;;
      124 | 137) result=late ;;
      *) result=FAILED ;;
    esac
    if [ "$status" = 0 ] && [ "$skipped" -gt "$passed" ]; then
      result=skipped
    fi
    [ "$status" = 0 ] || failed=1
    printf '%-28s %-8s %6s %7s %7s %5s\n' "$name" "$result" "$passed" "$skipped" "$broken" \
      "$(($(date +%s) - started))" >>"$table"
    case $result in
      skipped) grep -hoE 'no GPU: .*|GPU [0-9]+ cannot be used: .*' "$log" | sort -u | head -n 1 | sed 's/^/          /' >>"$table" || true ;;
      FAILED | late) tail -n 40 "$log" ;;
    esac
  done <"$folder/programs.txt"
  left=$((begin + 465 - $(date +%s)))
  [ "$left" -gt 5 ] || left=5
  limited "$left" "$results/gpu_peer.log" "${PYTHON:-python3}" "$folder/gpu_peer.py" ||
    echo "the comparison with PyTorch did not end well" >>"$results/gpu_peer.log"
  while read -r kind name; do
    if [ "$kind" = bench ]; then
      echo
      cat "$results/$name.log"
    fi
  done <"$folder/programs.txt" >>"$table"
  {
    echo
    grep -v '^{' "$results/gpu_peer.log" | grep -E '^PyTorch|^skipped|did not end' || true
    echo "$(($(date +%s) - begin)) s in all"
  } >>"$table"
  cat "$table"
  exit "$failed"
}

sanitize() {
  folder=${1:-$here}
  results=${FOVEA_RESULTS:-$folder/results}
  unpack "$folder"
  failed=0
  while read -r kind name; do
    [ "$kind" = test ] || continue
    echo "compute-sanitizer $name"
    compute-sanitizer --error-exitcode 99 --leak-check no "$results/programs/$name" || failed=1
  done <"$folder/programs.txt"
  exit "$failed"
}

case $command in
  pack | run | sanitize)
    shift
    "$command" "$@"
    ;;
  *)
    sed -n 's/^# \{0,1\}//p' "$0" | sed -n '2,7p' >&2
    exit 2
    ;;
esac
