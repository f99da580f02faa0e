// Runs a fuzzer without libFuzzer: every seed, every beginning of it, it with every byte changed,
// and it with some hundred random edits, the same in every run. Finds less than a fuzzer does in an
// hour, and tells at once when what was found before comes back.
//   NAME_replay SEEDS
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kEditsOfASeed = 300;

std::size_t inputs = 0;

void run(const std::string& bytes) {
  // On the heap and exactly as long, so that a sanitizer sees a read behind its end.
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  ++inputs;
}

/// Drops, doubles, overwrites or inserts a few bytes at a random place.
void edit(std::string& bytes, std::mt19937_64& random) {
  const std::size_t at = bytes.empty() ? 0 : random() % bytes.size();
  const std::size_t length = std::min<std::size_t>(1 + random() % 8, bytes.size() - at);
  switch (random() % 4) {
    case 0:
      bytes.erase(at, length);
      break;
    case 1:
      bytes.insert(at, std::string(bytes, at, length));
      break;
    case 2:
      for (std::size_t i = at; i < at + length; ++i) bytes[i] = static_cast<char>(random());
      break;
    default:
      // Lengths and counts are what readers trust too soon.
      bytes.insert(at, random() % 2 == 0 ? std::string(4, '\x7f') : std::string(4, '\xff'));
  }
}

void replay(const std::string& seed) {
  run(seed);
  for (std::size_t size = 0; size < seed.size(); ++size) run(seed.substr(0, size));
  for (std::size_t at = 0; at < seed.size(); ++at) {
    for (const int change : {1 << (at % 8), 0xff}) {
      std::string changed = seed;
      changed[at] = static_cast<char>(changed[at] ^ change);
      run(changed);
    }
  }
  std::mt19937_64 random(seed.size());
  for (int i = 0; i < kEditsOfASeed; ++i) {
    std::string changed = seed;
    for (std::size_t edits = 1 + random() % 4; edits > 0; --edits) edit(changed, random);
    run(changed);
  }
}

}  // namespace

int main(int count, char** values) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s SEEDS\n", values[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(values[1])) {
    files.push_back(entry.path());
  }
  std::ranges::sort(files);
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    replay({std::istreambuf_iterator<char>(file), {}});
  }
  std::printf("%zu seeds, %zu inputs: nothing found\n", files.size(), inputs);
  return inputs > 0 ? 0 : 1;
}
