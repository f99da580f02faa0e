// The flags --device and --gpu-memory, the same for every command that has them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "engine/gpu_options.h"

namespace fovea::api {

/// `help` says what runs there; the default is what `device` holds.
inline void add_device(CLI::App& command, engine::DeviceChoice& device, const std::string& help) {
  using engine::DeviceChoice;
  command
      .add_option_function<std::string>(
          "--device",
          [&device](const std::string& name) {
            device = name == "cpu"    ? DeviceChoice::kCpu
                     : name == "auto" ? DeviceChoice::kAuto
                                      : DeviceChoice::kGpu;
          },
          help + ": cpu, gpu (the first NVIDIA GPU), or auto: that GPU where one answers")
      ->default_str(device == DeviceChoice::kAuto ? "auto" : "cpu")
      ->check(CLI::IsMember({"cpu", "auto", "gpu"}));
}

inline void add_gpu_memory(CLI::App& command, engine::GpuOptions& options) {
  command
      .add_option("--gpu-memory", options.memory_mib_max,
                  "Of the GPU's memory, MiB, what models may take; 0: nine tenths of what is free")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{0}, std::size_t{1} << 24))
      ->type_name("MIB");
}

}  // namespace fovea::api
