// Versions on disk: a folder is complete before it has its name, and CURRENT is replaced as one.
#include "engine/models.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <utility>

#include "engine/request.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::uint64_t kVersionFormat = 2;
constexpr const char* kCard = "card.json";
constexpr const char* kModel = "model.safetensors";
constexpr const char* kItemIndex = "items.faiss";
constexpr const char* kTextIndex = "texts.faiss";
constexpr const char* kCurrent = "CURRENT";
constexpr const char* kUnfinished =
    ".unfinished-";  // leads the folder of a version that is being written
constexpr std::uintmax_t kSmallFileBytesMax = 1 << 20;  // CURRENT and card.json; more is not ours

[[noreturn]] void fail(const fs::path& file, std::string_view what) {
  throw VersionError(fmt::format("{}: {}", file.string(), what));
}

/// An open file or folder, closed by the destructor.
class File {
 public:
  File(const fs::path& path, int flags)
      : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) fail(path_, fmt::format("cannot be opened: {}", std::strerror(errno)));
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(path_, fmt::format("cannot be written: {}", std::strerror(errno)));
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  void sync() {
    if (::fsync(descriptor_) != 0) {
      fail(path_, fmt::format("cannot be made durable: {}", std::strerror(errno)));
    }
  }

 private:
  fs::path path_;
  int descriptor_;
};

void sync(const fs::path& path) { File(path, O_RDONLY).sync(); }

void write_synced(const fs::path& path, std::string_view bytes) {
  File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  file.write(bytes);
  file.sync();
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    if (context_ == nullptr || EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) != 1) {
      throw std::runtime_error("SHA-256 is not available from OpenSSL");
    }
  }
  ~Sha256() { EVP_MD_CTX_free(context_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::string_view bytes) { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    EVP_DigestFinal_ex(context_, digest.data(), &length);
    std::string text;
    for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  EVP_MD_CTX* context_;
};

std::string sha256(std::string_view bytes) {
  Sha256 sum;
  sum.add(bytes);
  return sum.hex();
}

std::string sha256_of_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "cannot be read");
  Sha256 sum;
  std::vector<char> block(1 << 16);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0) {
    sum.add({block.data(), static_cast<std::size_t>(file.gcount())});
  }
  if (file.bad()) fail(path, "cannot be read to its end");
  return sum.hex();
}

/// A missing file is a VersionError too.
std::string read_small(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) fail(path, fmt::format("cannot be read: {}", error.message()));
  if (size > kSmallFileBytesMax) fail(path, "is far larger than such a file can be");
  std::ifstream file(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) fail(path, "cannot be read");
  return bytes;
}

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
                                      {"catalog_revision", card.catalog_revision},
                                      {"trained_ms", card.trained_ms},
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
  result.catalog_revision = card.at("catalog_revision").to_number<std::uint64_t>();
  result.trained_ms = card.at("trained_ms").to_number<std::int64_t>();
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

/// Writes the arrays and indexes; gives the names of the files.
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
  return {kModel, kTextIndex, kItemIndex};
}

void delete_old(const fs::path& directory, std::string_view current, std::size_t kept) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string file = entry.path().filename();
    if (file.starts_with(kUnfinished)) fs::remove_all(entry.path());  // of a training that died
    if (is_version(file) && file != current) names.push_back(file);
  }
  std::ranges::sort(names, std::greater<>());
  for (std::size_t i = std::max<std::size_t>(kept, 1) - 1; i < names.size(); ++i) {
    fs::remove_all(directory / names[i]);
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
  try {
    const json::value parsed = json::parse(text);
    const json::object& card = parsed.as_object();
    if (card.at("format").to_number<std::uint64_t>() != kVersionFormat) {
      fail(folder / kCard, "is of another format than this program reads; train again");
    }
    const json::object& files = card.at("files").as_object();
    for (const auto& [name, about] : files) {
      const fs::path file = folder / std::string(name);
      const auto expected = about.at("bytes").to_number<std::uintmax_t>();
      std::error_code error;
      const auto size = fs::file_size(file, error);
      if (error) fail(file, fmt::format("cannot be read: {}", error.message()));
      if (size != expected) fail(file, fmt::format("has {} bytes, {} expected", size, expected));
      if (sha256_of_file(file) != std::string_view(about.at("sha256").as_string())) {
        fail(file, "was changed after it was published (SHA-256)");
      }
    }
    return read_version(folder, parse_card(card), files.contains(kItemIndex));
  } catch (const VersionError&) {
    throw;
  } catch (const std::exception& error) {
    // Checked bytes that do not parse were written by another program version, not damaged.
    fail(folder, fmt::format("cannot be loaded by this program: {}", error.what()));
  }
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
  const fs::path next = directory_ / (std::string(kCurrent) + ".next");
  write_synced(next, fmt::format("{} {}\n", name, sha256(card)));
  fs::rename(next, directory_ / kCurrent);
  sync(directory_);
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
