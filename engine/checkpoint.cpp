#include "engine/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string_view>

#include "engine/files.h"
#include "engine/training_log.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kFormat = 1;
constexpr const char* kCard = "training.checkpoint";
constexpr std::uintmax_t kCardBytesMax = 64 << 20;  // of tens of thousands of epochs
constexpr int kTimeBetween = 50;                    // as long as keeping takes
constexpr std::size_t kShortValue = 40;             // a SHA-256 says nothing to people

/// Text under its own checksum: a line of JSON, and its SHA-256 on the next.
std::string sealed(const std::string& line) { return line + "\n" + sha256(line) + "\n"; }

std::string unsealed(const fs::path& path) {
  const std::string text = read_small(path, kCardBytesMax);
  const std::string line = text.substr(0, text.find('\n'));
  if (sealed(line) != text) fail(path, "is damaged (SHA-256)");
  return line;
}

}  // namespace

Checkpoint::Checkpoint(const fs::path& versions, Identity identity,
                       std::function<void(const std::string&)> say)
    : folder_(versions / "checkpoint"), identity_(std::move(identity)), say_(std::move(say)) {}

void Checkpoint::take_up() {
  if (!fs::exists(folder_ / kCard)) return remove();  // killed before the first was kept
  try {
    read();
    if (!log_.empty()) {
      say_(fmt::format("resuming at epoch {} of the stage \"{}\"", log_.back().epoch + 1,
                       log_.back().stage));
    }
  } catch (const std::exception& error) {
    say_(fmt::format("{}; training starts anew", error.what()));
    remove();
  }
}

void Checkpoint::read() {
  const fs::path path = folder_ / kCard;
  json::value parsed;
  Identity identity;
  std::map<std::string, Kept> stages;
  try {
    parsed = json::parse(unsealed(path));
    const json::object& card = parsed.as_object();
    if (card.at("format").to_number<std::uint64_t>() != kFormat) {
      fail(path, "is of another format than this program reads");
    }
    for (const auto& [name, value] : card.at("training").as_object()) {
      identity.emplace_back(name, value.as_string());
    }
    for (const auto& [stage, kept] : card.at("stages").as_object()) {
      stages[stage] = {std::string(kept.at("file").as_string()),
                       kept.at("bytes").to_number<std::uintmax_t>(),
                       std::string(kept.at("sha256").as_string())};
    }
    files_ = card.at("files").to_number<std::uint64_t>();
    log_ = parse_jsonl(card.at("log").as_string());
  } catch (const VersionError&) {
    throw;
  } catch (const std::exception& error) {
    fail(path, fmt::format("cannot be read by this program: {}", error.what()));
  }
  if (const auto what = difference(identity)) {
    fail(folder_, "is of another training: " + *what);
  }
  for (const auto& [stage, kept] : stages) {
    check_file(folder_ / fs::path(kept.file).filename(), kept.bytes, kept.sha256);
  }
  stages_ = std::move(stages);
}

std::optional<std::string> Checkpoint::difference(const Identity& other) const {
  for (const auto& [name, value] : identity_) {
    const auto found = std::ranges::find(other, name, &Identity::value_type::first);
    if (found == other.end()) return fmt::format("it does not say its {}", name);
    if (found->second == value) continue;
    if (value.size() > kShortValue) return fmt::format("its {} are others", name);
    return fmt::format("its {} is \"{}\" and this one's \"{}\"", name, found->second, value);
  }
  return std::nullopt;
}

void Checkpoint::remove() {
  stages_.clear();
  log_.clear();
  files_ = 0;
  std::error_code ignored;  // what stays is refused or taken up by the next training
  fs::remove_all(folder_, ignored);
}

std::optional<ranking::Weights> Checkpoint::resume(const std::string& stage) const {
  const auto found = stages_.find(stage);
  if (found == stages_.end()) return std::nullopt;
  return ranking::Weights::load(folder_ / fs::path(found->second.file).filename());
}

void Checkpoint::keep(const std::string& stage, bool last,
                      const std::function<ranking::Weights()>& state,
                      const std::vector<ranking::TrainProgress>& log) {
  const auto start = Clock::now();
  if (refused_ || (!last && start - kept_ < kTimeBetween * cost_)) return;
  try {
    fs::create_directories(folder_);
    const std::string name = fmt::format("{}.safetensors", ++files_);
    const fs::path file = folder_ / name;
    state().save(file);
    Kept& kept = stages_[stage];
    const std::string old =
        std::exchange(kept, {name, fs::file_size(file), sha256_of_file(file)}).file;

    json::object identity;
    for (const auto& [field, value] : identity_) identity[field] = value;
    json::object stages;
    for (const auto& [of, newest] : stages_) {
      stages[of] = {{"file", newest.file}, {"bytes", newest.bytes}, {"sha256", newest.sha256}};
    }
    replace_synced(folder_ / kCard,
                   sealed(json::serialize(json::object{{"format", kFormat},
                                                       {"training", std::move(identity)},
                                                       {"stages", std::move(stages)},
                                                       {"files", files_},
                                                       {"log", to_jsonl(log)}})));
    if (!old.empty()) fs::remove(folder_ / old);
  } catch (const std::exception& error) {
    refused_ = true;
    say_(fmt::format("{}; training goes on, and would start anew after a kill", error.what()));
    remove();
  }
  kept_ = Clock::now();
  cost_ = kept_ - start;
}

}  // namespace fovea::engine
