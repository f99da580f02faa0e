#include "engine/encoded_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "engine/files.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;

/// That a thread encodes together, and what a kill costs: short texts fill the encoder's batch. A
/// constant, and whole parts are kept: one that was killed then puts the same texts together.
constexpr std::size_t kPart = 32;
/// Of a SHA-256 in hexadecimal, what names a text and what ends a record.
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kCheckBytes = 16;
constexpr const char* kEncodedFolder = "encoded";

std::string file_header(std::string_view id, std::size_t width) {
  return fmt::format("fovea encoded texts 1 {} {}\n", id, width);
}

}  // namespace

EncodedTexts::EncodedTexts(const fs::path& versions, std::string id, Watch watch)
    : id_(std::move(id)), watch_(std::move(watch)) {
  if (!versions.empty()) file_ = versions / kEncodedFolder / id_;
}

EncodedTexts::Texts EncodedTexts::distinct(std::span<const std::string_view> texts,
                                           std::size_t width, std::span<float> out) {
  Texts result;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto vector = out.subspan(i * width, width);
    const auto [found, fresh] =
        result.by_key.try_emplace(sha256(texts[i]).substr(0, kKeyBytes), result.all.size());
    if (fresh) {
      result.all.push_back({texts[i], vector, found->first, false});
    } else {
      result.copies.emplace_back(vector, found->second);
    }
  }
  return result;
}

bool EncodedTexts::encode(const ranking::SentenceEncoder& encoder,
                          std::span<const std::string_view> texts, int threads,
                          std::span<float> out) {
  const std::size_t width = encoder.width();
  Texts wanted = distinct(texts, width, out);
  if (!file_.empty()) take_up(wanted, width);
  std::vector<Text*> missing;
  for (Text& text : wanted.all) {
    if (!text.known) missing.push_back(&text);
  }
  watch_.say(fmt::format("{} texts to encode, {} are encoded already", missing.size(),
                         wanted.all.size() - missing.size()));
  const bool done = encode(encoder, missing, threads);
  out_.close();
  for (const auto& [vector, of] : wanted.copies) {
    std::ranges::copy(wanted.all[of].vector, vector.begin());
  }
  return done;
}

bool EncodedTexts::encode(const ranking::SentenceEncoder& encoder, std::span<Text* const> texts,
                          int threads) {
  const std::size_t width = encoder.width();
  const auto start = std::chrono::steady_clock::now();
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;  // guards what follows, and the file
  std::size_t done = 0;
  const auto work = [&] {
    std::size_t begin = 0;
    while (!watch_.stop.stop_requested() && (begin = next.fetch_add(kPart)) < texts.size()) {
      const auto part = texts.subspan(begin, std::min(kPart, texts.size() - begin));
      std::vector<std::string_view> views;
      for (const Text* text : part) views.push_back(text->text);
      std::vector<float> vectors(part.size() * width);
      encoder.encode_known({}, views, vectors);
      std::string records;
      for (std::size_t i = 0; i < part.size(); ++i) {
        const auto vector = std::span(vectors).subspan(i * width, width);
        std::ranges::copy(vector, part[i]->vector.begin());
        records += record(part[i]->key, vector);
      }
      const std::lock_guard lock(mutex);
      append(records);
      done += part.size();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      watch_.progress(done, texts.size(), static_cast<double>(done) / took.count());
    }
  };
  {
    std::vector<std::jthread> others;
    const std::size_t parts = (texts.size() + kPart - 1) / kPart;
    for (std::size_t i = 1; i < std::min<std::size_t>(threads, parts); ++i) {
      others.emplace_back(work);
    }
    work();
  }
  return done == texts.size();
}

std::string EncodedTexts::record(const std::string& key, std::span<const float> vector) {
  std::string bytes = key;
  bytes.append(reinterpret_cast<const char*>(vector.data()), vector.size_bytes());
  return bytes + sha256(bytes).substr(0, kCheckBytes);
}

// Fills in what the file knows and opens it to be appended to; written anew first where that is not
// all it holds.
void EncodedTexts::take_up(Texts& wanted, std::size_t width) try {
  const std::string first = file_header(id_, width);
  bool clean = false;
  {
    std::ifstream in(file_, std::ios::binary);
    std::string bytes(first.size(), '\0');
    const auto read = [&] { return !!in.read(bytes.data(), std::ssize(bytes)); };
    if (read() && bytes == first) {
      clean = true;
      bytes.resize(kKeyBytes + width * sizeof(float) + kCheckBytes);
      while (read()) clean = take(bytes, wanted) && clean;
      clean = clean && in.gcount() == 0;
    }
  }
  if (!clean) write_anew(wanted, first);
  out_.open(file_, std::ios::binary | std::ios::app);
  if (!out_) fail(file_, fmt::format("cannot be opened: {}", std::strerror(errno)));
} catch (const std::exception& error) {
  refuse(error.what());
}

// Whether the record is whole and of a text that is wanted.
bool EncodedTexts::take(std::string_view record, Texts& wanted) {
  const std::string_view content = record.substr(0, record.size() - kCheckBytes);
  if (sha256(content).substr(0, kCheckBytes) != record.substr(content.size())) return false;
  const auto found = wanted.by_key.find(std::string(content.substr(0, kKeyBytes)));
  if (found == wanted.by_key.end()) return false;
  Text& text = wanted.all[found->second];
  if (text.known) return false;
  std::memcpy(text.vector.data(), content.data() + kKeyBytes, text.vector.size_bytes());
  text.known = true;
  return true;
}

void EncodedTexts::write_anew(const Texts& wanted, const std::string& first) const {
  const fs::path next = file_.string() + ".next";
  fs::create_directories(next.parent_path());
  {
    std::ofstream out(next, std::ios::binary | std::ios::trunc);
    out << first;
    for (const Text& text : wanted.all) {
      if (text.known) out << record(text.key, text.vector);
    }
    out.flush();
    if (!out) fail(next, fmt::format("cannot be written: {}", std::strerror(errno)));
  }
  sync(next);
  fs::rename(next, file_);
}

void EncodedTexts::append(const std::string& records) {
  if (!out_.is_open()) return;
  out_ << records << std::flush;
  if (!out_) refuse(fmt::format("{}: cannot be written: {}", file_.string(), std::strerror(errno)));
}

void EncodedTexts::refuse(std::string_view why) {
  out_.close();
  watch_.say(fmt::format("{}; what is encoded from here on would be again after a kill", why));
}

void EncodedTexts::forget_others(const fs::path& versions, std::string_view id) {
  std::error_code ignored;  // what stays is deleted by the next training
  for (const auto& entry : fs::directory_iterator(versions / kEncodedFolder, ignored)) {
    if (entry.path().filename() != id) fs::remove(entry.path(), ignored);
  }
  fs::remove(versions / kEncodedFolder, ignored);  // where nothing is left in it
}

}  // namespace fovea::engine
