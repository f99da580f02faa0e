// The door: validates, keeps store and model in step, and picks up new versions.
#include "engine/engine.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "engine/attributes.h"
#include "engine/behaviours.h"
#include "engine/encoded_items.h"
#include "engine/gpu.h"
#include "engine/live_versions.h"
#include "engine/pipeline.h"
#include "engine/searched_text.h"
#include "engine/treatment.h"
#include "engine/trials.h"
#include "index/vector_index.h"

namespace fovea::engine {
namespace {

/// Of threads that nobody waits for: they get what requests leave of the processor.
constexpr int kBackgroundNice = 10;

std::int64_t machine_now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

template <typename List>
void check_count(const List& list, std::size_t max, std::string_view field) {
  if (list.size() <= max) return;
  throw InvalidRequest(std::string(field),
                       fmt::format("{} has {} entries; at most {} are allowed in one call", field,
                                   list.size(), max));
}

void check_ids(std::span<const std::string> ids, std::string_view field) {
  check_count(ids, kItemsPerPutMax, field);
  for (std::size_t i = 0; i < ids.size(); ++i) validate_id(ids[i], fmt::format("{}[{}]", field, i));
}

/// All embeddings of a store have one width: the first one's, be it stored or in this call.
void check_embedding_widths(const storage::Catalog& catalog, std::span<const Item> items) {
  auto width = catalog.embedding_width();
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].embedding) continue;
    if (!width) width = items[i].embedding->size();
    if (items[i].embedding->size() == *width) continue;
    const auto field = fmt::format("items[{}].embedding", i);
    throw InvalidRequest(
        field, fmt::format("{} has {} numbers; every embedding of this store has {}", field,
                           items[i].embedding->size(), *width));
  }
}

/// Of the machine's threads those of one put, which shares them with the others that encode now.
class ThreadShare {
 public:
  explicit ThreadShare(std::atomic<int>& puts)
      : puts_(puts),
        threads_(std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / ++puts)) {}
  ~ThreadShare() { --puts_; }
  ThreadShare(const ThreadShare&) = delete;
  ThreadShare& operator=(const ThreadShare&) = delete;

  int threads() const { return threads_; }

 private:
  std::atomic<int>& puts_;
  const int threads_;
};

}  // namespace

struct Engine::State {
  State(const std::filesystem::path& directory, EngineOptions given)
      : options(std::move(given)),
        db(storage::Db::open(directory, options.access, options.db)),
        counted(*db) {
    if (!options.now_ms) options.now_ms = machine_now_ms;
    put_all(db->catalog(), attributes);
    if (options.load_model) {
      searched.emplace(options.search);
      put_all(db->catalog(), *searched);
    }
    if (options.device != DeviceChoice::kCpu && options.load_model) open_gpu();
    versions.emplace(*db, directory, gpu.get(), options.rebuild);
  }

  void open_gpu() {
    try {
      gpu = std::make_unique<Gpu>(options.gpu);
      spdlog::info("{} ranks, with at most {} MiB of its memory", gpu->name(),
                   gpu->bytes_max() >> 20);
    } catch (const Unavailable& error) {
      if (options.device == DeviceChoice::kGpu) throw;
      spdlog::info("the CPU ranks: {}", error.what());
    }
  }

  EngineOptions options;
  const std::unique_ptr<storage::Db> db;
  Attributes attributes;                 // of the catalogue, in step with it
  std::optional<SearchedText> searched;  // the same; absent where nothing is searched
  CountedPopularity counted;
  const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

  std::unique_ptr<Gpu> gpu;  // null: the CPU ranks

  std::optional<LiveVersions> versions;  // from the constructor's end on
  std::mutex recounts;                   // one at a time
  std::atomic<int> puts = 0;             // at this moment

  std::condition_variable_any background_wake;
  std::mutex background_wait;
  std::jthread reloader;  // the last two: they stop before what they use goes
  std::jthread
      rebuilder;  // apart, so that a new version need not wait for a rebuild of the old one

  Snapshot snapshot(const Serving& serving, const std::shared_ptr<LiveModel>& live) {
    Snapshot result;
    result.db = db.get();
    result.attributes = &attributes;
    if (searched) result.searched = &*searched;
    result.fusion = options.search.weights;
    result.query_attention = options.search.query_attention;
    result.not_seen = &options.not_seen;
    result.gpu = gpu.get();
    result.retrieve = options.retrieve;
    result.popularity = live ? live->popularity() : counted.current(options.now_ms());
    const auto recent = live ? counted.last() : result.popularity;
    result.fallback = recent ? recent : result.popularity;
    if (const LiveVersion* version = serving.find(live.get())) {
      result.fresh_transitions = version->transitions->of(live.get());
    }
    result.model = live;
    return result;
  }

  RankResponse rank(const Serving& serving, const RankRequest& request) {
    const std::int64_t now_ms = options.now_ms();
    const auto snapshot_of = [&](const std::optional<std::string>& version) {
      return snapshot(serving, version ? serving.find(*version)->model : serving.current);
    };
    return engine::rank(treatment_of(*serving.experiments, request, now_ms), snapshot_of, request,
                        now_ms,
                        record_exposures() && !request.preview ? serving.exposures.get() : nullptr);
  }

  /// Behaviours were recorded or deleted.
  void changed() {
    counted.changed();
    versions->changed();
  }

  /// What ranks, for people.
  std::string device(const LiveModel* live) const {
    if (!gpu) return "cpu";
    std::string reason = gpu->failure();
    if (reason.empty() && live != nullptr) reason = live->off_gpu();
    if (!reason.empty()) return fmt::format("cpu, not {}: {}", gpu->name(), reason);
    return fmt::format("{}, {} of {} MiB", gpu->name(), gpu->bytes() >> 20, gpu->bytes_max() >> 20);
  }

  bool record_exposures() const {
    return options.record_exposures && options.access == storage::Access::kReadWrite;
  }

  void recount() {
    const std::lock_guard lock(recounts);
    versions->update_transitions();
    if (versions->serving()->current) counted.update();
  }

  void watch() {
    reloader = every_interval([this](const std::stop_token&) {
      versions->reload();
      recount();
    });
    rebuilder = every_interval([this](const std::stop_token& stop) { versions->rebuild(stop); });
  }

  std::jthread every_interval(std::function<void(const std::stop_token&)> work) {
    return std::jthread([this, work = std::move(work)](const std::stop_token& stop) {
      // Of this thread alone: requests come first.
      setpriority(PRIO_PROCESS, 0, kBackgroundNice);
      std::unique_lock lock(background_wait);
      while (!stop.stop_requested()) {
        background_wake.wait_for(lock, stop, options.reload_interval, [] { return false; });
        if (stop.stop_requested()) return;
        lock.unlock();
        try {
          work(stop);
        } catch (const std::exception& error) {
          spdlog::error("work in the background failed: {}", error.what());
        }
        lock.lock();
      }
    });
  }
};

std::unique_ptr<Engine> Engine::open(const std::filesystem::path& data_directory,
                                     EngineOptions options) {
  auto state = std::make_unique<State>(data_directory, std::move(options));
  if (state->options.load_model) {
    state->versions->open();
    if (state->options.reload_interval.count() > 0) state->watch();
  }
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::~Engine() = default;

RankResponse Engine::rank(const RankRequest& request) {
  validate(request);
  return state_->rank(*state_->versions->serving(), request);
}

std::vector<RankResponse> Engine::rank_many(std::span<const RankRequest> requests) {
  check_count(requests, kRequestsPerCallMax, "requests");
  // All are checked before the first is answered: an answer writes an exposure.
  const auto serving = state_->versions->serving();
  const std::int64_t now_ms = state_->options.now_ms();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    try {
      validate(requests[i]);
      const auto& session = requests[i].session;
      for (std::size_t e = 0; e < session.size(); ++e) {
        declared_action(state_->db->catalog(), session[e].action,
                        fmt::format("session[{}].action", e));
      }
      treatment_of(*serving->experiments, requests[i], now_ms);
    } catch (const InvalidRequest& invalid) {
      throw InvalidRequest(fmt::format("requests[{}].{}", i, invalid.field), invalid.what());
    }
  }
  std::vector<RankResponse> responses;
  responses.reserve(requests.size());
  for (const auto& request : requests) responses.push_back(state_->rank(*serving, request));
  return responses;
}

std::int32_t Engine::record(std::span<const Event> events) {
  check_count(events, kEventsPerRecordMax, "events");
  const std::int64_t now_ms = state_->options.now_ms();
  std::vector<storage::NewEvent> incoming;
  incoming.reserve(events.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    validate(event, fmt::format("events[{}].", i));
    declared_action(state_->db->catalog(), event.action, fmt::format("events[{}].action", i));
    incoming.push_back({event.user_id, event.item_id, event.action, event.time_ms.value_or(now_ms),
                        event.value, event.event_id, event.request_id});
  }
  const std::size_t recorded = state_->db->record(incoming);
  state_->changed();
  return static_cast<std::int32_t>(recorded);
}

std::int32_t Engine::put_items(std::span<const Item> items) {
  check_count(items, kItemsPerPutMax, "items");
  for (std::size_t i = 0; i < items.size(); ++i) validate(items[i], fmt::format("items[{}].", i));
  storage::Catalog& catalog = state_->db->catalog();
  check_embedding_widths(catalog, items);  // before what takes long
  const ThreadShare share(state_->puts);
  EncodedItems encoded(catalog, items, {.threads = share.threads()});
  const auto changing = state_->versions->changing(encoded);
  check_embedding_widths(catalog, items);  // of two first ones one was first
  const auto put = catalog.put(items);
  std::vector<const Item*> pointers;
  pointers.reserve(items.size());
  for (const Item& item : items) pointers.push_back(&item);
  state_->attributes.put(put.rows, pointers);
  if (state_->searched) state_->searched->put(put.rows, pointers);
  state_->versions->put(put.rows, encoded);
  return static_cast<std::int32_t>(items.size());
}

std::int32_t Engine::remove_items(std::span<const std::string> item_ids) {
  check_ids(item_ids, "item_ids");
  const std::vector<std::string_view> ids(item_ids.begin(), item_ids.end());
  const auto changing = state_->versions->changing();
  const auto rows = state_->db->catalog().remove(ids);
  state_->attributes.remove(rows);
  if (state_->searched) state_->searched->remove(rows);
  state_->versions->remove(rows);
  return static_cast<std::int32_t>(rows.size());
}

std::vector<Item> Engine::get_items(std::span<const std::string> item_ids) {
  check_ids(item_ids, "item_ids");
  const storage::Catalog& catalog = state_->db->catalog();
  std::vector<Item> items;
  for (const auto& item_id : item_ids) {
    const auto row = catalog.row(item_id);
    if (!row) continue;
    if (auto item = catalog.get(*row)) items.push_back(std::move(*item));
  }
  return items;
}

std::vector<Event> Engine::get_history(std::string_view user_id, std::int32_t limit) {
  validate_id(user_id, "user_id");
  if (limit < 1 || limit > kLimitMax) {
    throw InvalidRequest("limit",
                         fmt::format("limit is {}; 1 to {} is expected", limit, kLimitMax));
  }
  const storage::Catalog& catalog = state_->db->catalog();
  const auto stored = state_->db->history().read_detailed(user_id, static_cast<std::size_t>(limit));
  const auto actions = catalog.actions();
  std::vector<Event> events;
  events.reserve(stored.size());
  for (const auto& event : stored) {
    events.push_back({std::string(user_id), catalog.item_id(event.row), actions[event.action].name,
                      event.time_ms, event.value, event.event_id, event.request_id});
  }
  return events;
}

void Engine::delete_user(std::string_view user_id) {
  validate_id(user_id, "user_id");
  state_->db->delete_user(user_id);
  state_->changed();
}

Status Engine::status() {
  const auto live = state_->versions->serving()->current;
  const auto uptime = std::chrono::steady_clock::now() - state_->start;
  Status status;
  status.version = FOVEA_VERSION;
  if (live) status.model_version = live->card().version;
  status.device = state_->device(live.get());
  status.items = state_->db->catalog().size();
  status.users = state_->db->history().users();
  status.uptime_ms = std::chrono::duration_cast<std::chrono::milliseconds>(uptime).count();
  status.ready = true;  // open() has loaded the version that was current, if any
  status.faiss = index::faiss_build();
  return status;
}

EngineFigures Engine::figures() {
  EngineFigures figures;
  const auto add = [&figures](const char* name, const index::GenerationalIndex& index) {
    const auto live = index.current();
    const auto state = live->state();
    figures.indexes.push_back({name, live->kind(),
                               live->main() == nullptr ? 0 : live->main()->size(),
                               state->fresh.size(), state->out_of_main, index.rebuilding()});
  };
  if (const auto live = state_->versions->serving()->current) {
    if (live->item_index() != nullptr) add("items", *live->item_index());
    add("texts", live->text_index());
  }
  if (const auto& gpu = state_->gpu) {
    figures.gpu = GpuFigures{gpu->bytes(), gpu->bytes_max(), gpu->batches()};
  }
  figures.exposures = state_->versions->serving()->exposures->list();
  return figures;
}

std::int64_t Engine::now_ms() const { return state_->options.now_ms(); }

void Engine::declare_action(std::string_view name, double weight) {
  validate_id(name, "action");
  if (!std::isfinite(weight)) {
    throw InvalidRequest("weight",
                         fmt::format("the weight of action '{}' is {}; a finite number is "
                                     "expected",
                                     name, weight));
  }
  try {
    state_->db->catalog().declare_action(name, weight);
  } catch (const std::length_error& error) {
    throw InvalidRequest("action", error.what());
  }
}

void Engine::roll_back(std::string_view to) { state_->versions->roll_back(to); }
bool Engine::reload() { return state_->versions->reload(); }
bool Engine::rebuild() { return state_->versions->rebuild(); }
void Engine::recount() { state_->recount(); }

storage::Db& Engine::db() { return *state_->db; }

void Engine::set_experiments(const Experiments& experiments) {
  state_->versions->set_experiments(experiments);
}

std::shared_ptr<const Experiments> Engine::experiments() {
  return state_->versions->serving()->experiments;
}

Snapshot Engine::snapshot() {
  const auto serving = state_->versions->serving();
  return state_->snapshot(*serving, serving->current);
}

Snapshot Engine::snapshot(const std::shared_ptr<LiveModel>& version) {
  state_->versions->move_to_gpu(*version, /*to_serve=*/true);
  return state_->snapshot(*state_->versions->serving(), version);
}

}  // namespace fovea::engine
