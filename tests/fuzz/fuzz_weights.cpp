// Model files: whatever the bytes, they are refused with a sentence, or they are what is written
// when they are saved.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "ranking/weights.h"

namespace {

namespace fs = std::filesystem;
using fovea::ranking::Weights;

/// Removed at the end.
struct Scratch {
  fs::path directory = fs::temp_directory_path() / ("fuzz-weights-" + std::to_string(getpid()));
  Scratch() { fs::create_directories(directory); }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(directory, ignored);
  }
};

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Scratch kScratch;
  const fs::path given = kScratch.directory / "given";
  std::ofstream(given, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    const Weights weights = Weights::load(given);
    const fs::path first = kScratch.directory / "first";
    const fs::path second = kScratch.directory / "second";
    weights.save(first);
    Weights::load(first).save(second);
    if (read(first) != read(second)) std::abort();
  } catch (const fovea::ranking::WeightsError& error) {
    if (std::string(error.what()).empty()) std::abort();
  }
  return 0;
}
