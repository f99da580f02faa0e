// What an epoch of the encoder's training takes on this machine's GPU and on two threads of its
// processor, one after the other, on interactions of the size of Amazon's Beauty: generated, so
// that nothing has to be brought along. Prints a table; with a file name also JSON. Two epochs
// each, of which the second is timed: the first starts libraries up. Both begin with the same
// weights and the same order, so that their losses are close.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "ranking/device.h"
#include "ranking/encoder_trainer.h"
#include "ranking/random.h"
#include "ranking/train_options.h"
#include "ranking/trainer.h"

namespace {

using fovea::ranking::Behaviour;
using fovea::ranking::Device;
using fovea::ranking::Random;
using fovea::ranking::TrainData;

constexpr std::size_t kUsers = 22'363;
constexpr std::size_t kItems = 12'101;
constexpr std::size_t kBehaviours = 198'502;
constexpr std::size_t kBehavioursMin = 5;  // of a user
constexpr std::size_t kTextWidth = 128;
constexpr std::size_t kEpochs = 2;

// Draws place i of n with a chance that falls as 1 / (i + 1)^power.
class Zipf {
 public:
  Zipf(std::size_t n, double power) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      sum += std::pow(static_cast<double>(i + 1), -power);
      up_to_.push_back(sum);
    }
  }
  std::size_t draw(Random& random) const {
    const double at = random.uniform() * up_to_.back();
    const auto found = std::ranges::upper_bound(up_to_, at);
    return std::min(static_cast<std::size_t>(found - up_to_.begin()), up_to_.size() - 1);
  }

 private:
  std::vector<double> up_to_;
};

// Few users do much, few items are chosen often, and half of all behaviours are near the one
// before.
TrainData generate(std::vector<float>& whitened) {
  Random random(1);
  std::vector<std::size_t> lengths(kUsers, kBehavioursMin);
  const Zipf active(kUsers, 0.6);
  for (std::size_t i = kUsers * kBehavioursMin; i < kBehaviours; ++i) {
    ++lengths[active.draw(random)];
  }
  const Zipf popular(kItems, 0.8);
  TrainData data;
  data.items = kItems;
  for (const std::size_t length : lengths) {
    std::vector<Behaviour> behaviours;
    std::size_t item = 0;
    for (std::size_t i = 0; i < length; ++i) {
      const bool near = i > 0 && random.below(2) == 0;
      item = near ? (item + 1 + random.below(5)) % kItems : popular.draw(random);
      behaviours.push_back(
          {static_cast<std::uint32_t>(item), 0, 0, static_cast<std::int64_t>(i) * 86'400'000});
    }
    data.interactions.add_user(behaviours);
  }
  whitened.resize(kItems * kTextWidth);
  for (float& x : whitened) x = random.normal() / std::sqrt(static_cast<float>(kTextWidth));
  data.whitened_width = kTextWidth;
  data.whitened = whitened;
  data.action_weights = {1};
  return data;
}

struct Epochs {
  double seconds = 0;  // of the last
  double loss[kEpochs] = {};
};

Epochs train(const TrainData& data, Device* device) {
  fovea::ranking::TrainOptions options;
  options.threads = 2;
  options.device = device;
  Epochs epochs;
  fovea::ranking::TrainWatch watch;
  watch.progress = [&](const fovea::ranking::TrainProgress& epoch) {
    epochs.seconds = epoch.seconds;
    epochs.loss[epoch.epoch - 1] = epoch.loss;
  };
  train_encoder(data, data.interactions, {}, kEpochs, nullptr, options, "encoder", watch);
  return epochs;
}

void print_row(const std::string& name, const Epochs& epochs, double of_cpu) {
  std::printf("%-36s %9.2f %8.1f %10.4f %10.4f\n", name.c_str(), epochs.seconds,
              of_cpu / epochs.seconds, epochs.loss[0], epochs.loss[1]);
}

void print_json(std::FILE* file, const char* name, const Epochs& epochs, const char* end) {
  std::fprintf(file, "\"%s\": {\"seconds\": %.3f, \"losses\": [%.5f, %.5f]}%s", name,
               epochs.seconds, epochs.loss[0], epochs.loss[1], end);
}

}  // namespace

int main(int arguments, char** values) {
  if (const auto devices = fovea::ranking::device_count(); devices.count == 0) {
    std::printf("skipped: no GPU: %s\n", devices.reason.c_str());
    return 0;
  }
  try {
    const auto device = Device::open();
    std::vector<float> whitened;
    const TrainData data = generate(whitened);
    const Epochs gpu = train(data, device.get());
    const Epochs cpu = train(data, nullptr);
    std::printf("%-36s %9s %8s %10s %10s\n", "an epoch of the encoder", "s", "times", "loss 1",
                "loss 2");
    print_row(device->name() + ", float32", gpu, cpu.seconds);
    print_row("2 threads of the processor", cpu, cpu.seconds);
    std::printf("%zu users, %zu items, %zu behaviours\n", data.interactions.users(), data.items,
                data.interactions.behaviours.size());
    if (arguments > 1) {
      std::FILE* file = std::fopen(values[1], "w");
      if (file == nullptr) {
        std::fprintf(stderr, "cannot write %s\n", values[1]);
        return 1;
      }
      std::fprintf(file, "{");
      print_json(file, "gpu", gpu, ", ");
      print_json(file, "cpu", cpu, "}\n");
      std::fclose(file);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_gpu_epoch: %s\n", e.what());
    return 1;
  }
  return 0;
}
