// Versions on disk: a folder is complete before it has its name, and CURRENT is replaced as one.
#include "engine/models.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <utility>

#include "engine/files.h"
#include "engine/request.h"
#include "engine/training_log.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::uint64_t kVersionFormat = 3;
constexpr const char* kCard = "card.json";
constexpr const char* kModel = "model.safetensors";
constexpr const char* kItemIndex = "items.faiss";
constexpr const char* kTextIndex = "texts.faiss";
constexpr const char* kLog = "training.jsonl";
constexpr const char* kCurrent = "CURRENT";
constexpr const char* kUnfinished =
    ".unfinished-";  // leads the folder of a version that is being written

bool is_version(std::string_view name) {
  return name.size() == 20 && std::ranges::all_of(name, [](char c) {
           return (c >= '0' && c <= '9') || c == 'T' || c == '.' || c == 'Z';
         });
}

/// UTC yyyymmddThhmmss.mmmZ
std::string version_name(std::int64_t time_ms) {
  const std::time_t seconds = time_ms / 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, time_ms % 1000);
}

struct Current {
  std::string version;
  std::string card_sha256;
};

std::optional<Current> read_current(const fs::path& directory) {
  const fs::path file = directory / kCurrent;
  std::error_code error;
  if (!fs::exists(file, error)) {
    if (error) fail(file, fmt::format("cannot be read: {}", error.message()));
    return std::nullopt;
  }
  const std::string line = read_small(file);
  // "<20 bytes> <64 bytes>\n": anything else was truncated or changed.
  if (line.size() != 86 || line[20] != ' ' || line.back() != '\n' ||
      !is_version(std::string_view(line).substr(0, 20))) {
    fail(file, "is damaged: one line with a version and the SHA-256 of its card is expected");
  }
  return Current{line.substr(0, 20), line.substr(21, 64)};
}

std::string card_text(const VersionCard& card, const json::object& files) {
  json::object metrics;
  for (const auto& [name, value] : card.metrics) metrics[name] = value;
  json::object options{{"seed", card.options.seed}};
  ranking::for_each_option(
      card.options, [&](const char* name, const auto& field, auto...) { options[name] = field; });
  return json::serialize(json::object{{"format", kVersionFormat},
                                      {"version", card.version},
                                      {"split", name(card.split)},
                                      {"options", options},
                                      {"items", card.items},
                                      {"users", card.users},
                                      {"behaviours", card.behaviours},
                                      {"newest_ms", card.newest_ms},
                                      {"from", card.from},
                                      {"catalog_revision", card.catalog_revision},
                                      {"trained_ms", card.trained_ms},
                                      {"device", card.device},
                                      {"metrics", metrics},
                                      {"fovea_version", card.fovea_version},
                                      {"files", files}}) +
         "\n";
}

VersionCard parse_card(const json::object& card) {
  VersionCard result;
  result.version = card.at("version").as_string();
  result.split = parse_split(card.at("split").as_string());
  const json::object& options = card.at("options").as_object();
  result.options.seed = options.at("seed").to_number<std::uint64_t>();
  ranking::for_each_option(result.options, [&](const char* name, auto& field, auto...) {
    // A choice that the recipe did not have yet was as its default is.
    const json::value* value = options.if_contains(name);
    if (value != nullptr) field = json::value_to<std::decay_t<decltype(field)>>(*value);
  });
  result.items = card.at("items").to_number<std::size_t>();
  result.users = card.at("users").to_number<std::size_t>();
  result.behaviours = card.at("behaviours").to_number<std::size_t>();
  result.newest_ms = card.at("newest_ms").to_number<std::int64_t>();
  result.from = card.at("from").as_string();
  result.catalog_revision = card.at("catalog_revision").to_number<std::uint64_t>();
  result.trained_ms = card.at("trained_ms").to_number<std::int64_t>();
  // Versions of before knew one device only.
  const json::value* device = card.if_contains("device");
  result.device = device == nullptr ? "CPU" : json::value_to<std::string>(*device);
  for (const auto& [key, value] : card.at("metrics").as_object()) {
    result.metrics[key] = value.to_number<double>();
  }
  result.fovea_version = card.at("fovea_version").as_string();
  return result;
}

/// Reads the arrays and indexes of a folder whose bytes have been checked.
Version read_version(const fs::path& folder, VersionCard card, bool learned) {
  const auto weights = ranking::Weights::load(folder / kModel);
  Version version;
  version.card = std::move(card);
  version.text_space = ranking::TextSpace::load(weights);
  const std::size_t items = version.card.items;
  const auto texts = weights.floats("items.texts", {items, version.text_space.width()});
  version.texts.assign(texts.begin(), texts.end());
  const auto popularity = weights.floats("items.log_popularity", {items});
  version.log_popularity.assign(popularity.begin(), popularity.end());
  version.text_index = index::load_index(folder / kTextIndex);
  if (version.text_index->width() != version.text_space.width()) {
    fail(folder / kTextIndex, "has vectors of another width than the version's texts");
  }
  if (learned) {
    version.model = ranking::Model::load(weights);
    const auto vectors = weights.floats("items.vectors", {items, version.model->width()});
    version.vectors.assign(vectors.begin(), vectors.end());
    version.item_index = index::load_index(folder / kItemIndex);
    if (version.model->text_width() != version.text_space.width()) {
      fail(folder / kModel, "has a model of another text width than its text space");
    }
    if (version.item_index->width() != version.model->width()) {
      fail(folder / kItemIndex, "has vectors of another width than the version's model");
    }
  }
  return version;
}

/// Checks every file that the card names, then reads them.
Version load_folder(const fs::path& folder, const std::string& card_text) {
  try {
    const json::value parsed = json::parse(card_text);
    const json::object& card = parsed.as_object();
    if (card.at("format").to_number<std::uint64_t>() != kVersionFormat) {
      fail(folder / kCard, "is of another format than this program reads; train again");
    }
    const json::object& files = card.at("files").as_object();
    for (const auto& [name, about] : files) {
      check_file(folder / std::string(name), about.at("bytes").to_number<std::uintmax_t>(),
                 about.at("sha256").as_string());
    }
    return read_version(folder, parse_card(card), files.contains(kItemIndex));
  } catch (const VersionError&) {
    throw;
  } catch (const std::exception& error) {
    // Checked bytes that do not parse were written by another program version, not damaged.
    fail(folder, fmt::format("cannot be loaded by this program: {}", error.what()));
  }
}

/// Of the versions in a directory, oldest first.
std::vector<std::string> names(const fs::path& directory) {
  std::vector<std::string> result;
  std::error_code none;  // nothing was trained here yet
  for (const auto& entry : fs::directory_iterator(directory, none)) {
    const std::string file = entry.path().filename();
    if (is_version(file)) result.push_back(file);
  }
  std::ranges::sort(result);
  return result;
}

/// Writes the arrays, indexes and log; gives the names of the files.
std::vector<std::string> write_version(const fs::path& folder, const Version& version) {
  ranking::Weights weights;
  version.text_space.save(weights);
  weights.put("items.texts", {version.card.items, version.text_space.width()}, version.texts);
  weights.put("items.log_popularity", {version.card.items}, version.log_popularity);
  if (version.model) {
    version.model->save(weights);
    weights.put("items.vectors", {version.card.items, version.model->width()}, version.vectors);
  }
  weights.save(folder / kModel);
  version.text_index->save(folder / kTextIndex);
  if (!version.model) return {kModel, kTextIndex};
  version.item_index->save(folder / kItemIndex);
  write_synced(folder / kLog, to_jsonl(version.log));
  return {kModel, kTextIndex, kItemIndex, kLog};
}

void delete_old(const fs::path& directory, std::string_view current, std::size_t kept) {
  for (const auto& entry : fs::directory_iterator(directory)) {  // of a training that died
    if (entry.path().filename().string().starts_with(kUnfinished)) fs::remove_all(entry.path());
  }
  std::vector<std::string> older = names(directory);
  std::erase(older, current);
  for (std::size_t i = std::max<std::size_t>(kept, 1) - 1; i < older.size(); ++i) {
    fs::remove_all(directory / older[older.size() - 1 - i]);
  }
}

}  // namespace

Versions::Versions(const fs::path& data_directory) : directory_(data_directory / "versions") {}

std::optional<std::string> Versions::current() const {
  auto current = read_current(directory_);
  if (!current) return std::nullopt;
  return std::move(current->version);
}

Version Versions::load(std::string_view version) const {
  const auto current = read_current(directory_);
  if (!current || current->version != version) {
    // The card's own checksum stands in CURRENT; without it a changed card would pass.
    fail(directory_ / kCurrent, fmt::format("names another version than {}", version));
  }
  const fs::path folder = directory_ / current->version;
  const std::string text = read_small(folder / kCard);
  if (sha256(text) != current->card_sha256) {
    fail(folder / kCard, "was changed after it was published (SHA-256)");
  }
  return load_folder(folder, text);
}

Version Versions::load_older(std::string_view version) const {
  const fs::path folder = directory_ / version;
  if (!is_version(version) || !fs::is_directory(folder)) {
    fail(directory_, fmt::format("holds no version \"{}\"; it holds {}", version,
                                 fmt::join(names(directory_), ", ")));
  }
  return load_folder(folder, read_small(folder / kCard));
}

std::string Versions::publish(Version version, std::size_t kept) const {
  fs::create_directories(directory_);
  auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                    std::chrono::system_clock::now().time_since_epoch())
                    .count();
  while (fs::exists(directory_ / version_name(now_ms))) ++now_ms;
  version.card.version = version_name(now_ms);
  const std::string& name = version.card.version;

  const fs::path unfinished = directory_ / (kUnfinished + name);
  std::string card;
  try {
    fs::create_directory(unfinished);
    json::object files;
    for (const auto& file : write_version(unfinished, version)) {
      sync(unfinished / file);
      files[file] = json::object{{"bytes", fs::file_size(unfinished / file)},
                                 {"sha256", sha256_of_file(unfinished / file)}};
    }
    card = card_text(version.card, files);
    write_synced(unfinished / kCard, card);
    sync(unfinished);
    fs::rename(unfinished, directory_ / name);
    sync(directory_);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(unfinished, ignored);
    throw;
  }
  replace_synced(directory_ / kCurrent, fmt::format("{} {}\n", name, sha256(card)));
  sync(directory_.parent_path());
  delete_old(directory_, name, kept);
  return name;
}

Versions::TrainingLock Versions::lock_training() const {
  fs::create_directories(directory_);
  const fs::path path = directory_ / "training.lock";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) {
    throw Unavailable(fmt::format("{}: cannot be opened: {}", path.string(), std::strerror(errno)));
  }
  TrainingLock lock(file);
  if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    throw Unavailable(fmt::format("another training of {} is under way; wait until it has ended",
                                  directory_.parent_path().string()));
  }
  return lock;
}

Versions::TrainingLock::TrainingLock(TrainingLock&& other) noexcept
    : file_(std::exchange(other.file_, -1)) {}

Versions::TrainingLock::~TrainingLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace fovea::engine
