// What golden/make_sentence.py kept: a tiny encoder's folder, texts, and what the reference makes
// of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ranking/weights.h"

namespace fovea::ranking {

inline std::filesystem::path sentence_folder() {
  return std::filesystem::path(FOVEA_SOURCE_DIR) / "tests/golden/sentence";
}

struct SentenceGolden {
  Weights weights = Weights::load(sentence_folder() / "golden.safetensors");

  std::vector<std::string> texts() const {
    const std::string_view all = weights.bytes("texts");
    const auto offsets = weights.ids("texts.offsets");
    std::vector<std::string> result;
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
      result.emplace_back(all.substr(offsets[i], offsets[i + 1] - offsets[i]));
    }
    return result;
  }

  /// Of text i, by the rules called `name`.
  std::vector<std::uint32_t> ids(const std::string& name, std::size_t i) const {
    const auto all = weights.ids(name);
    const auto offsets = weights.ids(name + ".offsets");
    return {all.begin() + offsets[i], all.begin() + offsets[i + 1]};
  }
};

}  // namespace fovea::ranking
