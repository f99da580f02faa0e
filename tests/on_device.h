// What tests of a GPU share: the device or the reason why they are skipped, fresh random inputs
// with a printed seed, and comparing what the device computes with what the CPU does.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ranking/array.h"
#include "ranking/device.h"
#include "ranking/random.h"

namespace fovea::ranking {

/// Opens the device once for all tests of the program; they are skipped where there is none.
class OnDevice : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (device_count().count > 0 && device_ == nullptr) device_ = Device::open();
  }
  static void TearDownTestSuite() { device_.reset(); }
  void SetUp() override {
    if (device_ == nullptr) GTEST_SKIP() << "no GPU: " << device_count().reason;
    const char* wanted = std::getenv("FOVEA_SEED");  // repeats a failure
    seed_ = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : std::random_device{}();
    random_ = Random(seed_);
    std::cout << "FOVEA_SEED=" << seed_ << " on " << device_->name() << '\n';
  }

  std::vector<float> draw(std::size_t n, float deviation = 1) {
    std::vector<float> values(n);
    for (float& x : values) x = deviation * random_.normal();
    return values;
  }
  std::vector<std::uint32_t> draw_rows(std::size_t n, std::size_t below) {
    std::vector<std::uint32_t> rows(n);
    for (auto& row : rows) row = static_cast<std::uint32_t>(random_.below(below));
    return rows;
  }
  /// Lengths of sequences, at most `longest`, that make `tokens`; some are empty.
  std::vector<std::uint32_t> draw_offsets(std::size_t tokens, std::size_t longest) {
    std::vector<std::uint32_t> offsets = {0, 0};
    while (offsets.back() < tokens) {
      const std::size_t length = random_.below(8) == 0 ? longest : random_.below(longest + 1);
      offsets.push_back(static_cast<std::uint32_t>(std::min(tokens, offsets.back() + length)));
    }
    return offsets;
  }

  const Context cpu_{2};
  Context gpu(Products products = Products::kFloat32) const { return {1, device_.get(), products}; }

  static inline std::unique_ptr<Device> device_;
  std::uint64_t seed_ = 0;
  Random random_{0};
};

/// A value that tests read on either side.
template <typename T>
class Both {
 public:
  Both(const Context& gpu, std::vector<T> values)
      : host_(std::move(values)), device_(gpu, std::span<const T>(host_)) {}
  const T* at(const Context& context) const {
    return context.device == nullptr ? host_.data() : device_.data();
  }

 private:
  std::vector<T> host_;
  Array<T> device_;
};

/// Outputs of an op before it runs: poison where it is to overwrite, sums where it is to add.
template <typename T>
using Outputs = std::vector<std::vector<T>>;

template <typename T>
std::vector<T> poisoned(std::size_t n) {
  return std::vector<T>(n, static_cast<T>(77));
}

/// Runs `run(context, outputs)` on the CPU and twice on the device, each time from `before`. Both
/// runs of the device give the same bits; they differ from the CPU by at most
/// tolerance * (1 + |value|).
template <typename T, typename Run>
void expect_agreement(const Context& cpu, const Context& gpu, const Outputs<T>& before,
                      double tolerance, const Run& run) {
  Outputs<T> expected = before;
  std::vector<T*> pointers;
  for (auto& output : expected) pointers.push_back(output.data());
  run(cpu, pointers);
  Outputs<T> first;
  for (int repeat = 0; repeat < 2; ++repeat) {
    std::vector<Array<T>> arrays;
    pointers.clear();
    for (const auto& output : before) arrays.emplace_back(gpu, std::span<const T>(output));
    for (auto& array : arrays) pointers.push_back(array.data());
    run(gpu, pointers);
    Outputs<T> actual;
    for (const auto& array : arrays) actual.push_back(array.read());
    if (repeat == 1) {
      EXPECT_EQ(actual, first) << "two runs differ";
    }
    first = std::move(actual);
  }
  for (std::size_t o = 0; o < expected.size(); ++o) {
    for (std::size_t i = 0; i < expected[o].size(); ++i) {
      const auto value = static_cast<double>(expected[o][i]);
      const auto actual = static_cast<double>(first[o][i]);
      if (value == actual) continue;  // infinities too
      ASSERT_LE(std::abs(actual - value), tolerance * (1 + std::abs(value)))
          << "output " << o << " at " << i << ": " << actual << " for " << value;
    }
  }
}

}  // namespace fovea::ranking
