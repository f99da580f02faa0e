#include "engine/encoder_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "engine/files.h"
#include "engine/request.h"
#include "ranking/sentence_folder.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEncoderFolder = "text_encoder";  // in a version's

std::string in_version(std::string_view name) { return fmt::format("{}/{}", kEncoderFolder, name); }

/// Fit for a card, a log and a terminal.
std::string display_name(const fs::path& folder) {
  std::string name = fs::weakly_canonical(folder).filename();
  std::ranges::replace_if(name, [](unsigned char c) { return c < ' ' || c > '~'; }, '?');
  return name;
}

}  // namespace

EncoderFiles EncoderFiles::of(const fs::path& folder) {
  constexpr std::string_view kExpected =
      "the folder of a BERT sentence encoder in Hugging Face's layout is expected (config.json, "
      "vocab.txt, model.safetensors), or lsa";
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw InvalidRequest("text-encoder", fmt::format("--text-encoder: '{}' is no folder; {}",
                                                     folder.string(), kExpected));
  }
  EncoderFiles result{folder, display_name(folder), {}};
  for (std::size_t i = 0; i < ranking::SentenceFolder::kFiles.size(); ++i) {
    const std::string name(ranking::SentenceFolder::kFiles[i]);
    const fs::path file = folder / name;
    const auto type = fs::status(file, ignored).type();
    if (type == fs::file_type::not_found && i >= ranking::SentenceFolder::kNeeded) continue;
    if (type != fs::file_type::regular) {  // opening a pipe would wait for somebody to write
      throw InvalidRequest(
          "text-encoder",
          fmt::format("--text-encoder: {} {}; {}", file.string(),
                      type == fs::file_type::not_found ? "is not there" : "is no file", kExpected));
    }
    result.sums[name] = {fs::file_size(file), sha256_of_file(file)};
  }
  return result;
}

std::optional<EncoderFiles> EncoderFiles::of_version(const fs::path& version, const Card& card) {
  EncoderFiles result{version / kEncoderFolder, card.version.text_encoder, {}};
  for (const std::string_view name : ranking::SentenceFolder::kFiles) {
    const auto found = card.files.find(in_version(name));
    if (found != card.files.end()) result.sums.emplace(name, found->second);
  }
  if (result.sums.empty()) return std::nullopt;
  return result;
}

bool EncoderFiles::are_in(const fs::path& version) { return fs::exists(version / kEncoderFolder); }

void EncoderFiles::check() const {
  for (const auto& [file, sum] : sums) check_file(folder / file, sum.bytes, sum.sha256);
}

std::shared_ptr<const ranking::SentenceEncoder> EncoderFiles::load() const {
  return std::make_shared<const ranking::SentenceEncoder>(
      ranking::SentenceEncoder::load(ranking::Context{}, folder));
}

std::string EncoderFiles::id() const {
  Sha256 all;
  all.add(FOVEA_VERSION);
  for (const auto& [file, sum] : sums) all.add(fmt::format("\n{} {}", file, sum.sha256));
  return all.hex();
}

FileSums EncoderFiles::put(const fs::path& version) const {
  const bool beside = folder.parent_path().parent_path() == version.parent_path();
  FileSums result;
  for (const auto& [file, sum] : sums) {
    const fs::path to = version / in_version(file);
    fs::create_directories(to.parent_path());
    if (beside) {
      link_or_copy(folder / file, to);
    } else {
      copy_synced(folder / file, to);
    }
    if (sha256_of_file(to) != sum.sha256) {
      fail(folder / file,
           "was changed while the training ran; train again, which ends at once "
           "where the file is as it was");
    }
    sync(to.parent_path());
    result[in_version(file)] = sum;
  }
  sync(version / kEncoderFolder);
  return result;
}

bool is_encoder_file(std::string_view name) {
  return std::ranges::any_of(ranking::SentenceFolder::kFiles,
                             [&](std::string_view file) { return in_version(file) == name; });
}

void link_or_copy(const fs::path& from, const fs::path& to) {
  std::error_code refused;
  fs::create_hard_link(from, to, refused);
  if (refused) copy_synced(from, to);
}

}  // namespace fovea::engine
