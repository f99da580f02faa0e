#include "api/batch_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "engine/files.h"

namespace fovea::api {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// Of a file, before compression: what a killed run ranks again at the most, beside what came since
/// the last notes.
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::chrono::milliseconds kNotesEvery{200};

}  // namespace

BatchOutput::BatchOutput(const std::string& file) {
  if (file == "-") {
    file_ = "stdout";
    partial_ = file_;
    descriptor_ = STDOUT_FILENO;
    block_bytes_ = 1;  // whoever reads on need not wait
    return;
  }
  file_ = fs::absolute(file);
  compression_ = compression_of(file);
  block_bytes_ = kBlockBytes;
  if (fs::exists(fs::symlink_status(file_))) {
    throw std::runtime_error(
        fmt::format("{} is there already; remove it or name another file, nothing is written over",
                    file_.string()));
  }
  partial_ = file_.string() + ".partial";
  notes_path_ = partial_.string() + ".json";
  descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(fmt::format("cannot be written: {}", std::strerror(errno)));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    fail("is being written by another process; wait for it or name another output");
  }
  // Notes without a file are those of a run that was killed after it had given the file its name.
  if (fs::file_size(partial_) == 0) fs::remove(notes_path_);
}

BatchOutput::~BatchOutput() {
  if (descriptor_ == STDOUT_FILENO) return;
  std::error_code ignored;
  // What nobody can go on with is not left behind.
  if (!finished_ && !fs::exists(notes_path_, ignored)) fs::remove(partial_, ignored);
  ::close(descriptor_);
}

void BatchOutput::fail(std::string_view what) const {
  throw std::runtime_error(fmt::format("{} {}", partial_.string(), what));
}

std::optional<BatchOutput::Notes> BatchOutput::read_notes() const {
  if (notes_path_.empty() || !fs::exists(notes_path_)) return std::nullopt;
  try {
    const json::value value = json::parse(engine::read_small(notes_path_));
    const json::object& object = value.as_object();
    Notes notes;
    notes.with = object.at("begun_with").as_object();
    notes.bytes = object.at("bytes").to_number<std::uint64_t>();
    notes.done.lines = object.at("lines").to_number<std::uint64_t>();
    notes.done.bad = object.at("bad").to_number<std::uint64_t>();
    return notes;
  } catch (const std::exception&) {
    throw std::runtime_error(fmt::format(
        "{} cannot be understood, so that nothing can go on from it; --fresh begins anew",
        notes_path_.string()));
  }
}

std::optional<json::object> BatchOutput::begun_with() const {
  auto notes = read_notes();
  if (!notes) return std::nullopt;
  return std::move(notes->with);
}

BatchOutput::Done BatchOutput::resume(const json::object& with, std::string_view head) {
  const auto notes = read_notes();
  if (!notes) {
    begin(with, head);
    return done_;
  }
  for (const auto& [name, value] : with) {
    const json::value* before = notes->with.if_contains(name);
    if (before != nullptr && *before == value) continue;
    fail(fmt::format(
        "was begun with {} {} and this run has {}; start it with what it was begun "
        "with, or begin anew with --fresh",
        std::string_view(name), before == nullptr ? "unknown" : json::serialize(*before),
        json::serialize(value)));
  }
  if (fs::file_size(partial_) < notes->bytes) {
    fail("is shorter than what was written to it; --fresh begins anew");
  }
  // What follows was written after the last notes, and perhaps not to its end.
  if (::ftruncate(descriptor_, static_cast<off_t>(notes->bytes)) != 0 ||
      ::lseek(descriptor_, 0, SEEK_END) < 0) {
    fail(fmt::format("cannot be cut back: {}", std::strerror(errno)));
  }
  with_ = with;
  bytes_ = notes->bytes;
  done_ = notes->done;
  noted_ = std::chrono::steady_clock::now();
  return done_;
}

void BatchOutput::begin(std::optional<json::object> with, std::string_view head) {
  done_ = {};
  bytes_ = 0;
  block_ = head;
  if (notes_path_.empty()) return;
  with_ = std::move(with);
  // The notes go first: without them what is there counts for nothing.
  fs::remove(notes_path_);
  if (::ftruncate(descriptor_, 0) != 0) {
    fail(fmt::format("cannot be begun anew: {}", std::strerror(errno)));
  }
  noted_ = std::chrono::steady_clock::now();
}

void BatchOutput::add(std::string_view answer, bool bad) {
  block_ += answer;
  ++done_.lines;
  if (bad) ++done_.bad;
  if (block_.size() < block_bytes_) return;
  write_block();
  if (with_ && std::chrono::steady_clock::now() - noted_ >= kNotesEvery) write_notes();
}

void BatchOutput::write_block() {
  const std::string packed = compress(compression_, block_);
  write(packed);
  block_.clear();
}

void BatchOutput::write(std::string_view bytes) {
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      fail(fmt::format("cannot be written to its end: {}", std::strerror(errno)));
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void BatchOutput::write_notes() {
  if (::fdatasync(descriptor_) != 0) {
    fail(fmt::format("cannot be made durable: {}", std::strerror(errno)));
  }
  const json::object notes = {
      {"begun_with", *with_}, {"bytes", bytes_}, {"lines", done_.lines}, {"bad", done_.bad}};
  engine::replace_synced(notes_path_, json::serialize(notes) + '\n');
  noted_ = std::chrono::steady_clock::now();
}

void BatchOutput::finish() {
  // A compressed file without a block would not be one.
  if (!block_.empty() || bytes_ == 0) write_block();
  if (notes_path_.empty()) return;
  if (::fsync(descriptor_) != 0) {
    fail(fmt::format("cannot be made durable: {}", std::strerror(errno)));
  }
  fs::rename(partial_, file_);
  finished_ = true;
  engine::sync(file_.parent_path());
  fs::remove(notes_path_);
}

}  // namespace fovea::api
