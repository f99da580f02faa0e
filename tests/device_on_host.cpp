// A Device whose memory is the host's, for tests where there is no GPU. Its addresses are shifted
// to where nothing is mapped: an op shifts them back, and a program that reads a device's memory
// without an op dies, as it would with a GPU. Memory is NaN until something is written. Ops run the
// plain bodies, so that what a device may round apart is rounded apart here; matrix products round
// their factors to bfloat16 where that is asked for.
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "ranking/device.h"
#include "ranking/ops_bodies.h"
#include "ranking/ops_plain.h"
#include "tests/device_memory.h"

namespace fovea::ranking {
namespace {

using device_memory::back;
using device_memory::there;

// Arguments of an op as its body on the host reads them.
template <typename T>
T here(T value) {
  return value;
}
template <typename T>
T* here(T* device) {
  return back(device);
}
ops::Sequences here(ops::Sequences s) {
  return {s.count, s.tokens, s.pairs, back(s.offsets), back(s.sequence_of), back(s.pair_starts)};
}
ops::Segments here(ops::Segments s) {
  return {s.count, back(s.ids), back(s.starts), back(s.order)};
}
ops::Embedding here(ops::Embedding e) {
  return {back(e.items), back(e.positions), back(e.actions), back(e.gaps),
          back(e.item),  back(e.position),  back(e.action),  back(e.gap)};
}

template <typename... Parameters>
struct Choice {
  void (*cpu)(const Context&, Parameters...);
  void (*plain)(const Context&, Parameters...);

  void operator()(const Context& context, Parameters... arguments) const {
    if (context.device == nullptr) {
      cpu(context, arguments...);
    } else {
      plain({1, nullptr, context.products}, here(arguments)...);
    }
  }
};
template <typename... Parameters>
Choice<Parameters...> choice(void (*cpu)(const Context&, Parameters...),
                             void (*plain)(const Context&, Parameters...)) {
  return {cpu, plain};
}

std::vector<float> rounded(const float* values, std::size_t n) {
  std::vector<float> result(values, values + n);
  for (float& x : result) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    x = std::bit_cast<float>((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
  }
  return result;
}

}  // namespace

// What the dispatch finds under the name of the plain bodies; all but the products are those.
namespace on_host {
using namespace ops::plain;  // NOLINT(google-build-using-namespace)
void gemm(const Context& context, ops::Transpose a_transposed, ops::Transpose b_transposed,
          std::size_t m, std::size_t n, std::size_t k, float alpha, const float* a, std::size_t lda,
          const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc) {
  if (context.products == Products::kFloat32 || m == 0 || n == 0 || k == 0) {
    ops::cpu::gemm(context, a_transposed, b_transposed, m, n, k, alpha, a, lda, b, ldb, beta, c,
                   ldc);
    return;
  }
  const auto stored = [](ops::Transpose flip, std::size_t rows, std::size_t columns,
                         std::size_t ld) {
    return flip == ops::Transpose::kYes ? (columns - 1) * ld + rows : (rows - 1) * ld + columns;
  };
  ops::cpu::gemm(context, a_transposed, b_transposed, m, n, k, alpha,
                 rounded(a, stored(a_transposed, m, k, lda)).data(), lda,
                 rounded(b, stored(b_transposed, k, n, ldb)).data(), ldb, beta, c, ldc);
}
}  // namespace on_host

struct Device::Handles {
  std::string name = "host memory";
};

DeviceCount device_count() { return {1, ""}; }
std::unique_ptr<Device> Device::open() {
  return std::unique_ptr<Device>(new Device(std::make_unique<Handles>()));
}
Device::Device(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
Device::~Device() = default;
const std::string& Device::name() const { return handles_->name; }
void* Device::stream() const { return nullptr; }
Device::Memory Device::memory() const { return {std::size_t{1} << 36, std::size_t{1} << 37}; }

namespace {
void fail_if_lost() {
  if (device_memory::lost) throw DeviceError("the GPU could not compute: it is lost");
}
}  // namespace

void* Device::allocate(std::size_t bytes) {
  fail_if_lost();
  if (bytes > std::size_t{1} << 40) throw DeviceError("out of memory", true);
  if (bytes == 0) return nullptr;
  void* memory = std::malloc(bytes);
  std::memset(memory, 0xFF, bytes);
  return there(memory);
}
void Device::release(void* memory) noexcept { std::free(back(memory)); }
void Device::upload(void* to, const void* from, std::size_t bytes) {
  fail_if_lost();
  if (bytes > 0) std::memcpy(back(to), from, bytes);
}
void Device::download(void* to, const void* from, std::size_t bytes) {
  fail_if_lost();
  if (bytes > 0) std::memcpy(to, back(from), bytes);
}
void Device::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(back(to), back(from), bytes);
}
void Device::zero(void* memory, std::size_t bytes) {
  if (bytes > 0) std::memset(back(memory), 0, bytes);
}
void Device::wait() {}

}  // namespace fovea::ranking

#define FOVEA_BODY(op) choice(cpu::op, on_host::op)
#include "ranking/ops.cpp"  // NOLINT(bugprone-suspicious-include)
