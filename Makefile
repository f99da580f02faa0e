# The commands of this project. Each installs what it needs and does not find (cmake/install_dependencies.sh), so that
# they work on a fresh Debian 12 with git and make. Running one twice builds nothing twice.

JOBS ?= $(shell nproc)
SANITIZER_OPTIONS := ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
  LSAN_OPTIONS="suppressions=$(CURDIR)/tests/lsan.supp print_suppressions=0" \
  TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp second_deadlock_stack=1" OMP_NUM_THREADS=1
# The tests of what several threads enter: these run under the thread sanitizer.
THREADED := store_threads_test record_test attributes_test live_index_test fresh_vectors_test \
  generational_index_test word_index_test item_vectors_test engine_test pipeline_test gpu_engine_on_host_test server_test \
  contract_test http_test console_http_test console_service_test tls_test workers_test overload_test effect_test \
  gone_items_test experiments_serving_test
THREADED_NAMES := (^|[.])($(subst $() ,|,$(THREADED)))[.]
OURS = git ls-files '*.h' '*.cpp' '*.cuh' '*.cu'

# OpenMP's threads must not spin while they wait: tests run beside each other.
export OMP_WAIT_POLICY := passive

.PHONY: build demo test check bench faiss format format-check sanitize asan tsan fuzz tidy help
.DEFAULT_GOAL := build
.NOTPARALLEL:

build: build/build.ninja ## Build the program: build/fovea
	@ninja -C build -j $(JOBS) fovea

demo: build ## See the whole path in a terminal and a browser; SOURCE=DIR: on your own items.jsonl and events.jsonl
	@build/fovea demo $(if $(SOURCE),--source "$(SOURCE)")

test: install-test build/build.ninja ## Build and run every test
	@ninja -C build -j $(JOBS)
	@ctest --test-dir build -j $$((2 * $(JOBS))) --output-on-failure --no-tests=error  # many only wait

check: format-check sanitize tidy ## Format, sanitizers, fuzzers, lint: what CI runs besides the tests

sanitize: asan tsan ## Run the tests under sanitizers, each fuzzer for some seconds

asan: build-asan/build.ninja ## The part of sanitize that looks at addresses and undefined behaviour, and fuzzes
	@ninja -C build-asan -j $(JOBS)
	@$(SANITIZER_OPTIONS) ctest --test-dir build-asan -j $(JOBS) --output-on-failure --no-tests=error

tsan: build-tsan/build.ninja ## The part of sanitize that looks at threads
	@ninja -C build-tsan -j $(JOBS) $(THREADED)
	@$(SANITIZER_OPTIONS) ctest --test-dir build-tsan -j $(JOBS) --output-on-failure --no-tests=error -R '$(THREADED_NAMES)'

fuzz: install-check ## Run each fuzzer for SECONDS (60)
	@cmake --preset asan -DFOVEA_FUZZ_SECONDS=$(or $(SECONDS),60)
	@ninja -C build-asan -j $(JOBS)
	@$(SANITIZER_OPTIONS) ctest --test-dir build-asan -L fuzz --verbose --no-tests=error

tidy: build-asan/build.ninja ## clang-tidy over the program's sources, warnings are errors; FOLDERS=tests: over the tests
	@ninja -C build-asan -j $(JOBS)
	@run-clang-tidy-19 -quiet -p build-asan -j $(JOBS) "$(CURDIR)/(build-asan/)?($(or $(FOLDERS),storage|ranking|index|engine|api))/"

format: install-format ## Rewrite every source in the project's format
	@$(OURS) | xargs clang-format-19 -i

format-check: install-format
	@$(OURS) | xargs clang-format-19 --dry-run -Werror

bench: install-bench build/build.ninja ## Measure the parts on this machine (BENCHMARKS.md)
	@cmake --preset release -DFOVEA_BENCHMARKS=ON >/dev/null
	@ninja -C build -j $(JOBS) fovea_benchmarks
	@build/tests/benchmarks/fovea_benchmarks

# Which GPUs CUDA code is built for is one setting for Faiss and for ours: make faiss CUDA_ARCHITECTURES="80;90".
faiss: install-build ## Build Faiss for this machine's processor, and for GPUs where CUDA is; the next build uses it
	@cmake/build_faiss.sh

help: ## This list
	@awk -F ':.*## ' '/^[a-z]*:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

# Ninja runs CMake again by itself when a CMake file changes.
build/build.ninja: | install-build
	@cmake --preset release $(if $(CUDA_ARCHITECTURES),"-DCMAKE_CUDA_ARCHITECTURES=$(CUDA_ARCHITECTURES)")
build-asan/build.ninja: | install-check
	@cmake --preset asan
build-tsan/build.ninja: | install-check
	@cmake --preset tsan

install-%: always
	@cmake/install_dependencies.sh $*
install-test install-bench: install-build
install-check: install-test
.PHONY: always
always:
