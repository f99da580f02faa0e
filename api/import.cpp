#include "api/import.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <vector>

#include "api/json.h"
#include "engine/engine.h"

namespace fovea::api {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kActionsMax = 1000;      // of the store
constexpr std::size_t kBatchRecords = 10'000;  // of one call of the engine
constexpr std::size_t kBatchBytes = 16u
                                    << 20;  // of texts, so that a batch of long ones stays small

/// stdin in a file that can be read twice; gone with the object.
class Spool {
 public:
  Spool() {
    std::string name = (fs::temp_directory_path() / "fovea-import-XXXXXX").string();
    const int file = ::mkstemp(name.data());
    if (file < 0) throw ImportError(fmt::format("{}: {}", name, std::strerror(errno)));
    ::close(file);
    path_ = name;
    std::ofstream out(path_, std::ios::binary);
    if (std::cin.peek() != std::char_traits<char>::eof()) out << std::cin.rdbuf();
    out.flush();
    if (!out) throw ImportError(fmt::format("stdin could not be kept in {}", name));
  }
  ~Spool() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// One input, read from its beginning as often as needed.
class Input {
 public:
  Input(const std::string& name, std::optional<Format> format)
      : name_(name == "-" ? "stdin" : name) {
    if (name == "-") spool_ = std::make_unique<Spool>();
    path_ = spool_ ? spool_->path() : fs::path(name);
    std::error_code error;
    if (fs::is_directory(path_, error)) {
      throw ImportError(fmt::format("{} is a directory; a file is expected", name_));
    }
    std::ifstream file = open();
    bytes_ = fs::file_size(path_, error);
    if (error) bytes_ = 0;  // only for the bar
    format_ = format ? *format : detect_format(name_, file);
  }

  const std::string& name() const { return name_; }

  /// Calls `take` for each record with its line; what it throws as InvalidRequest is a bad line
  /// too. `bad` is told of each bad line and may throw to stop.
  void read(std::string_view what, Progress& progress,
            const std::function<void(const boost::json::object&)>& take,
            const std::function<void(std::size_t line, std::string_view why)>& bad) const {
    std::ifstream file = open();
    std::optional<RecordReader> reader;
    try {
      reader.emplace(file, format_);
    } catch (const BadRecord& error) {
      throw ImportError(fmt::format("{}:1: {}; nothing was written", name_, error.what()));
    }
    for (;;) {
      try {
        const std::optional<boost::json::object> record = reader->next();
        if (!record) return;
        take(*record);
      } catch (const BadRecord& error) {
        bad(reader->line(), error.what());
      } catch (const engine::InvalidRequest& error) {
        bad(reader->line(), error.what());
      }
      progress.bar(what, reader->bytes(), bytes_);
    }
  }

 private:
  std::ifstream open() const {
    std::ifstream file(path_, std::ios::binary);
    if (!file)
      throw ImportError(fmt::format("{} cannot be opened: {}", name_, std::strerror(errno)));
    return file;
  }

  std::string name_;
  std::unique_ptr<Spool> spool_;
  fs::path path_;
  Format format_ = Format::kJsonLines;
  std::uintmax_t bytes_ = 0;
};

engine::Item valid_item(const boost::json::object& record) {
  engine::Item item = item_from_json(record);
  engine::validate(item, "");
  return item;
}

engine::Event valid_event(const boost::json::object& record) {
  engine::Event event = event_from_json(record);
  engine::validate(event, "");
  return event;
}

/// What all lines must agree on, with each other and with the store.
struct Agreement {
  std::optional<std::size_t> embedding_width;
  std::set<std::string, std::less<>> actions;

  void check(const engine::Item& item) {
    if (!item.embedding) return;
    if (embedding_width && *embedding_width != item.embedding->size()) {
      throw engine::InvalidRequest(
          "embedding", fmt::format("embedding has {} numbers; the embeddings before it have {}",
                                   item.embedding->size(), *embedding_width));
    }
    embedding_width = item.embedding->size();
  }
  void check(const engine::Event& event) {
    if (actions.contains(event.action)) return;
    if (actions.size() >= kActionsMax) {
      throw engine::InvalidRequest(
          "action", fmt::format("action \"{}\" would be one more than the {} a store may have",
                                event.action, kActionsMax));
    }
    actions.insert(event.action);
  }
};

/// Both passes over both inputs.
class Import {
 public:
  Import(const ImportOptions& options, Progress& progress)
      : options_(options), progress_(progress) {
    if (options.items) items_.emplace(*options.items, options.format);
    if (options.events) events_.emplace(*options.events, options.format);
  }

  ImportSummary run() {
    const auto start = std::chrono::steady_clock::now();
    // A store in use is refused before minutes are spent on checking; a new one is made only when
    // there is something to put in.
    if (fs::exists(options_.data)) open();
    check();
    if (!engine_) open();
    write();
    summary_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return summary_;
  }

 private:
  void open() {
    engine::EngineOptions options;
    options.load_model = false;
    options.record_exposures = false;
    options.reload_interval = std::chrono::milliseconds(0);
    engine_ = engine::Engine::open(options_.data, options);
  }

  void check() {
    Agreement agreement;
    if (engine_) {
      const storage::Catalog& catalog = engine_->db().catalog();
      agreement.embedding_width = catalog.embedding_width();
      for (const storage::Action& action : catalog.actions()) agreement.actions.insert(action.name);
    }
    const auto report = [this](const Input& input) {
      return [this, &input](std::size_t line, std::string_view why) {
        progress_.line(fmt::format("{}:{}: {}", input.name(), line, why));
        if (++summary_.skipped > options_.errors_max) {
          throw ImportError(
              fmt::format("more than {} bad lines, so nothing was written; correct them, or raise "
                          "--max-errors to skip more",
                          options_.errors_max));
        }
      };
    };
    if (items_) {
      items_->read(
          "checking items", progress_,
          [&](const auto& record) { agreement.check(valid_item(record)); }, report(*items_));
    }
    if (events_) {
      events_->read(
          "checking events", progress_,
          [&](const auto& record) { agreement.check(valid_event(record)); }, report(*events_));
    }
    actions_ = std::move(agreement.actions);
    embedding_width_ = agreement.embedding_width;
  }

  void write() {
    storage::Catalog& catalog = engine_->db().catalog();
    for (const auto& action : options_.actions) {
      engine_->declare_action(action.name, action.weight);
    }
    for (const std::string& action : actions_) {
      if (!catalog.action(action)) engine_->declare_action(action, 1);
    }
    const auto skip = [](std::size_t, std::string_view) {};  // reported by check()
    if (items_) {
      items_->read(
          "items", progress_, [this](const auto& record) { add(valid_item(record)); }, skip);
      flush_items();
    }
    if (events_) {
      events_->read(
          "events", progress_, [this](const auto& record) { add(valid_event(record)); }, skip);
      flush_events();
    }
  }

  void add(engine::Item item) {
    Agreement{embedding_width_, {}}.check(item);
    batch_bytes_ += item.text ? item.text->size() : 0;
    item_batch_.push_back(std::move(item));
    ++summary_.items;
    if (item_batch_.size() >= kBatchRecords || batch_bytes_ >= kBatchBytes) flush_items();
  }

  void flush_items() {
    storage::Catalog& catalog = engine_->db().catalog();
    const std::int64_t before = catalog.size();
    if (!item_batch_.empty()) engine_->put_items(item_batch_);
    summary_.items_new += static_cast<std::uint64_t>(catalog.size() - before);
    item_batch_.clear();
    batch_bytes_ = 0;
  }

  void add(engine::Event event) {
    if (!actions_.contains(event.action)) return;  // the one too many, reported by check()
    storage::Catalog& catalog = engine_->db().catalog();
    const std::optional<std::uint32_t> row = catalog.row(event.item_id);
    if (!row || !catalog.present(*row)) ++summary_.events_of_unknown_items;
    event_batch_.push_back(std::move(event));
    ++summary_.events;
    if (event_batch_.size() >= kBatchRecords) flush_events();
  }

  void flush_events() {
    if (!event_batch_.empty()) {
      summary_.events_new += static_cast<std::uint64_t>(engine_->record(event_batch_));
    }
    event_batch_.clear();
  }

  const ImportOptions& options_;
  Progress& progress_;
  std::optional<Input> items_;
  std::optional<Input> events_;
  std::unique_ptr<engine::Engine> engine_;
  std::set<std::string, std::less<>> actions_;
  std::optional<std::size_t> embedding_width_;
  std::vector<engine::Item> item_batch_;
  std::vector<engine::Event> event_batch_;
  std::size_t batch_bytes_ = 0;
  ImportSummary summary_;
};

}  // namespace

ImportSummary import_files(const ImportOptions& options, Progress& progress) {
  if (options.items == "-" && options.events == "-") {
    throw ImportError("only one of --items and --events can be stdin");
  }
  Import import(options, progress);
  ImportSummary summary = import.run();
  progress.clear();
  return summary;
}

}  // namespace fovea::api
