// Versions on disk: a folder is complete before it has its name, and CURRENT is replaced as one.
#include "engine/models.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <map>
#include <utility>

#include "engine/files.h"
#include "engine/goldens.h"
#include "engine/request.h"
#include "engine/training_log.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCard = "card.json";
constexpr const char* kModel = "model.safetensors";
constexpr const char* kItemIndex = "items.faiss";
constexpr const char* kTextIndex = "texts.faiss";
constexpr const char* kLog = "training.jsonl";
constexpr const char* kGoldens = "goldens.json";
constexpr const char* kCurrent = "CURRENT";
constexpr const char* kPublished = "PUBLISHED";
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

/// What CURRENT and PUBLISHED say.
struct Named {
  std::string version;
  std::string card_sha256;

  std::string line() const { return fmt::format("{} {}\n", version, card_sha256); }
};

Named read_named(const fs::path& file) {
  const std::string line = read_small(file);
  // "<20 bytes> <64 bytes>\n": anything else was truncated or changed.
  if (line.size() != 86 || line[20] != ' ' || line.back() != '\n' ||
      !is_version(std::string_view(line).substr(0, 20))) {
    fail(file, "is damaged: one line with a version and the SHA-256 of its card is expected");
  }
  return {line.substr(0, 20), line.substr(21, 64)};
}

std::optional<Named> read_current(const fs::path& directory) {
  const fs::path file = directory / kCurrent;
  std::error_code error;
  if (!fs::exists(file, error)) {
    if (error) fail(file, fmt::format("cannot be read: {}", error.message()));
    return std::nullopt;
  }
  return read_named(file);
}

/// What a draft is compared with and would replace; "" where none can serve.
std::string serving(const fs::path& directory) {
  try {
    const auto current = read_current(directory);
    return current ? current->version : "";
  } catch (const VersionError&) {
    return "";
  }
}

/// Reads the arrays and indexes of a folder whose bytes have been checked.
Version read_version(const fs::path& folder, const Card& card) {
  const auto weights = ranking::Weights::load(folder / kModel);
  Version version;
  version.card = card.version;
  version.encoder = EncoderFiles::of_version(folder, card);
  version.text_space =
      ranking::TextSpace::load(weights, version.encoder ? version.encoder->load() : nullptr);
  const std::size_t items = version.card.items;
  const auto texts = weights.floats("items.texts", {items, version.text_space.width()});
  version.texts.assign(texts.begin(), texts.end());
  const auto popularity = weights.floats("items.log_popularity", {items});
  version.log_popularity.assign(popularity.begin(), popularity.end());
  version.text_index = index::load_index(folder / kTextIndex);
  if (version.text_index->width() != version.text_space.width()) {
    fail(folder / kTextIndex, "has vectors of another width than the version's texts");
  }
  if (card.files.contains(kItemIndex)) {  // something was learned
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

/// Checks every file that the card names, then reads them and computes the golden outputs again.
Version load_folder(const fs::path& folder, const Card& card) {
  try {
    for (const auto& [name, sum] : card.files) check_file(folder / name, sum.bytes, sum.sha256);
    Version version = read_version(folder, card);
    // Versions from before there were any have none.
    if (card.files.contains(kGoldens)) check_goldens(version, folder / kGoldens);
    return version;
  } catch (const VersionError&) {
    throw;
  } catch (const std::exception& error) {
    // Checked bytes that do not parse were written by another program version, not damaged.
    fail(folder, fmt::format("cannot be loaded by this program: {}", error.what()));
  }
}

/// The card of a version whose name and checksum are known.
Card read_card(const fs::path& directory, const Named& named) {
  const fs::path file = directory / named.version / kCard;
  const std::string text = read_small(file);
  if (sha256(text) != named.card_sha256) fail(file, "was changed after it was published (SHA-256)");
  Card card;
  try {
    card = parse_card(text);
  } catch (const std::exception& error) {
    fail(file, fmt::format("cannot be read by this program: {}", error.what()));
  }
  for (const auto& [name, sum] : card.files) {
    if (fs::path(name).filename() != name && !is_encoder_file(name)) {
      fail(file, fmt::format("names a file outside of its folder: {}", name));
    }
  }
  return card;
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

[[noreturn]] void fail_unknown(const fs::path& directory, std::string_view version) {
  const auto there = names(directory);
  fail(directory, fmt::format("holds no version \"{}\"; it holds {}", version,
                              there.empty() ? "none" : fmt::format("{}", fmt::join(there, ", "))));
}

/// The card of a version that some time was published.
Card published_card(const fs::path& directory, std::string_view version) {
  const fs::path folder = directory / version;
  if (!is_version(version) || !fs::is_directory(folder)) fail_unknown(directory, version);
  const Named published = read_named(folder / kPublished);
  if (published.version != version) {
    fail(folder / kPublished, fmt::format("is that of version {}", published.version));
  }
  return read_card(directory, published);
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
  write_synced(folder / kGoldens, golden_outputs(version));
  return {kModel, kTextIndex, kItemIndex, kLog, kGoldens};
}

/// Whether the files of a version that does not serve are what was published.
bool is_intact(const fs::path& directory, const std::string& version) {
  try {
    const Card card = read_card(directory, read_named(directory / version / kPublished));
    for (const auto& [name, sum] : card.files) {
      check_file(directory / version / name, sum.bytes, sum.sha256);
    }
    return true;
  } catch (const VersionError&) {
    return false;
  }
}

/// Copies the files of one version; throws VersionError when they are not what was published.
/// `encoders`: the copies of encoders' files so far, by SHA-256.
void copy_version(const fs::path& directory, const Named& named, const fs::path& target,
                  std::map<std::string, fs::path>& encoders) {
  const fs::path from = directory / named.version;
  const fs::path to = target / named.version;
  const Card card = read_card(directory, named);
  fs::create_directory(to);
  for (const auto& [name, sum] : card.files) {
    fs::create_directories((to / name).parent_path());
    const auto copied = encoders.find(sum.sha256);
    if (copied != encoders.end()) {
      link_or_copy(copied->second, to / name);
    } else {
      copy_synced(from / name, to / name);
    }
    check_file(to / name, sum.bytes, sum.sha256);
    if (is_encoder_file(name)) {
      encoders.emplace(sum.sha256, to / name);
      sync((to / name).parent_path());
    }
  }
  for (const char* name : {kCard, kPublished}) copy_synced(from / name, to / name);
  sync(to);
}

/// Whether a process keeps this version (Versions::keep()).
bool is_kept(const fs::path& folder) {
  const int file = ::open((folder / kPublished).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool kept = ::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(file);
  return kept;
}

/// `current`, what it replaced and what is kept by a process stay, however old.
void delete_old(const fs::path& directory, const VersionCard& current, std::size_t kept) {
  for (const auto& entry : fs::directory_iterator(directory)) {  // of a training that died
    if (entry.path().filename().string().starts_with(kUnfinished)) fs::remove_all(entry.path());
  }
  std::vector<std::string> older = names(directory);
  std::erase(older, current.version);
  for (std::size_t i = std::max<std::size_t>(kept, 1) - 1; i < older.size(); ++i) {
    const std::string& name = older[older.size() - 1 - i];
    if (name != current.replaced && !is_kept(directory / name)) fs::remove_all(directory / name);
  }
}

}  // namespace

Draft::Draft(Draft&& other) noexcept
    : folder_(std::exchange(other.folder_, fs::path())), card_(std::move(other.card_)) {}

Draft::~Draft() {
  std::error_code ignored;  // the next publish deletes what stays
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

Version Draft::load() const { return load_folder(folder_, card_); }

Versions::Versions(const fs::path& data_directory) : directory_(data_directory / "versions") {}

std::optional<std::string> Versions::current() const {
  auto current = read_current(directory_);
  if (!current) return std::nullopt;
  return std::move(current->version);
}

Version Versions::load(std::string_view version) const {
  const auto current = read_current(directory_);
  if (!current || current->version != version) {
    fail(directory_ / kCurrent, fmt::format("names another version than {}", version));
  }
  return load_folder(directory_ / current->version, read_card(directory_, *current));
}

Version Versions::load_older(std::string_view version) const {
  return load_folder(directory_ / version, published_card(directory_, version));
}

std::string Versions::training_log(std::string_view version) const {
  const Card card = published_card(directory_, version);
  const auto log = card.files.find(kLog);
  if (log == card.files.end()) return "";
  const fs::path file = directory_ / version / kLog;
  check_file(file, log->second.bytes, log->second.sha256);
  return read_small(file);
}

std::optional<EncoderFiles> Versions::encoder() const {
  const std::string version = serving(directory_);
  if (version.empty()) return std::nullopt;
  const fs::path folder = directory_ / version;
  try {
    const Card card = read_card(directory_, *read_current(directory_));
    const auto encoder = EncoderFiles::of_version(folder, card);
    if (encoder) encoder->check();
    return encoder;
  } catch (const VersionError&) {
    if (EncoderFiles::are_in(folder)) throw;
    return std::nullopt;
  }
}

std::vector<ListedVersion> Versions::list() const {
  const std::string current = serving(directory_);
  std::vector<ListedVersion> result;
  for (const std::string& name : names(directory_)) {
    ListedVersion& listed = result.emplace_back();
    listed.name = name;
    listed.current = name == current;
    try {
      listed.card = read_card(directory_, read_named(directory_ / name / kPublished)).version;
    } catch (const VersionError& error) {
      listed.complaint = error.what();
    }
  }
  return result;
}

Draft Versions::write(Version version) const {
  fs::create_directories(directory_);
  auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                    std::chrono::system_clock::now().time_since_epoch())
                    .count();
  while (fs::exists(directory_ / version_name(now_ms))) ++now_ms;
  version.card.version = version_name(now_ms);
  version.card.replaced = serving(directory_);
  version.card.text_encoder = version.encoder ? version.encoder->name : "lsa";

  Draft draft(directory_ / (kUnfinished + version.card.version));
  fs::create_directory(draft.folder_);
  for (const auto& file : write_version(draft.folder_, version)) {
    const fs::path path = draft.folder_ / file;
    sync(path);
    draft.card_.files[file] = {fs::file_size(path), sha256_of_file(path)};
  }
  if (version.encoder) draft.card_.files.merge(version.encoder->put(draft.folder_));
  draft.card_.version = std::move(version.card);
  return draft;
}

std::string Versions::publish(Draft draft, std::size_t kept) const {
  const Lock publishing = lock("publish.lock", /*wait=*/true);
  const VersionCard& card = draft.card();
  if (const std::string now = serving(directory_); now != card.replaced) {
    throw Unavailable(
        fmt::format("version {} serves now and {} did when the new version was "
                    "compared with it; train again, which ends at once",
                    now.empty() ? "none" : now, card.replaced.empty() ? "none" : card.replaced));
  }
  const std::string text = to_text(draft.card_);
  const Named named{card.version, sha256(text)};
  write_synced(draft.folder_ / kCard, text);
  write_synced(draft.folder_ / kPublished, named.line());
  sync(draft.folder_);
  fs::rename(draft.folder_, directory_ / named.version);
  draft.folder_.clear();
  sync(directory_);
  make_current(named.line());
  delete_old(directory_, card, kept);
  return named.version;
}

std::string Versions::publish(Version version, std::size_t kept) const {
  return publish(write(std::move(version)), kept);
}

std::string Versions::roll_back(std::optional<std::string_view> to) const {
  if (!fs::is_directory(directory_)) fail(directory_, "is not there: nothing was published yet");
  const Lock publishing = lock("publish.lock", /*wait=*/true);
  std::string version;
  if (to) {
    version = *to;
    if (version == serving(directory_)) {
      throw InvalidRequest("to", fmt::format("version {} is the one that serves", version));
    }
  } else {
    const auto current = read_current(directory_);
    if (!current) fail(directory_ / kCurrent, "is not there: nothing was published yet");
    version = read_card(directory_, *current).version.replaced;
    if (version.empty()) {
      throw InvalidRequest("to", fmt::format("nothing served before version {}; name the version "
                                             "to go back to: --to VERSION",
                                             current->version));
    }
  }
  load_older(version);
  make_current(read_named(directory_ / version / kPublished).line());
  return version;
}

std::vector<std::string> Versions::copy_to(const fs::path& data_directory) const {
  std::vector<std::string> copied;
  if (!fs::is_directory(directory_)) return copied;  // nothing was ever trained here
  const Lock publishing = lock("publish.lock", /*wait=*/true);
  const fs::path target = data_directory / directory_.filename();
  fs::create_directory(target);
  const auto current = read_current(directory_);
  std::map<std::string, fs::path> encoders;
  for (const std::string& name : names(directory_)) {
    const bool serves = current && current->version == name;
    if (!serves && !is_intact(directory_, name)) continue;
    copy_version(directory_, serves ? *current : read_named(directory_ / name / kPublished), target,
                 encoders);
    copied.push_back(name);
  }
  if (current) write_synced(target / kCurrent, current->line());
  sync(target);
  return copied;
}

void Versions::make_current(const std::string& line) const {
  replace_synced(directory_ / kCurrent, line);
  sync(directory_.parent_path());
}

Versions::Lock Versions::lock_training() const { return lock("training.lock", /*wait=*/false); }

Versions::Lock Versions::keep(std::string_view version) const {
  const fs::path folder = directory_ / version;
  if (!is_version(version) || !fs::is_directory(folder)) fail_unknown(directory_, version);
  // A lock of whoever reads: many processes may keep one version, and none is kept by a dead one.
  const fs::path path = folder / kPublished;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(path, fmt::format("cannot be opened: {}", std::strerror(errno)));
  Lock lock(file);
  while (::flock(file, LOCK_SH) != 0) {
    if (errno != EINTR) fail(path, fmt::format("cannot be locked: {}", std::strerror(errno)));
  }
  return lock;
}

Versions::Lock Versions::lock(const char* name, bool wait) const {
  fs::create_directories(directory_);
  const fs::path path = directory_ / name;
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) {
    throw Unavailable(fmt::format("{}: cannot be opened: {}", path.string(), std::strerror(errno)));
  }
  Lock lock(file);
  while (::flock(file, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) {
      throw Unavailable(
          fmt::format("{}: cannot be locked: {}", path.string(), std::strerror(errno)));
    }
    throw Unavailable(fmt::format("another training of {} is under way; wait until it has ended",
                                  directory_.parent_path().string()));
  }
  return lock;
}

Versions::Lock::Lock(Lock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

Versions::Lock::~Lock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace fovea::engine
