#include "engine/live_versions.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "engine/gpu.h"
#include "engine/treatment.h"

namespace fovea::engine {
namespace {

/// Of one declaration.
constexpr std::size_t kConflictsLogged = 20;

int machine_threads() {
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

/// Calls `use(experiment, variant, version)` for each version that a variant names.
template <typename Use>
void each_named_version(const Experiments& experiments, const Use& use) {
  for (const Experiment& experiment : experiments.list) {
    for (const Variant& variant : experiment.variants) {
      if (variant.set.model_version) use(experiment, variant, *variant.set.model_version);
    }
  }
}

}  // namespace

const LiveVersion* Serving::find(std::string_view version) const {
  const auto found = std::ranges::find_if(
      versions, [&](const LiveVersion& live) { return live.model->card().version == version; });
  return found == versions.end() ? nullptr : &*found;
}

const LiveVersion* Serving::find(const LiveModel* model) const {
  const auto found = std::ranges::find_if(
      versions, [&](const LiveVersion& live) { return live.model.get() == model; });
  return found == versions.end() ? nullptr : &*found;
}

LiveVersions::LiveVersions(storage::Db& db, const std::filesystem::path& data_directory, Gpu* gpu,
                           const index::RebuildOptions& rebuild)
    : db_(db), versions_(data_directory), gpu_(gpu), rebuild_(rebuild) {}

std::shared_ptr<const Serving> LiveVersions::serving() const {
  const std::lock_guard lock(serving_mutex_);
  return serving_;
}

std::unique_lock<std::mutex> LiveVersions::changing(EncodedItems& items) {
  for (;;) {
    const auto before = serving();
    for (const LiveVersion& live : before->versions) items.encode(live.model);
    std::unique_lock lock(catalogue_changes_);
    const auto now = serving();
    if (std::ranges::all_of(now->versions,
                            [&](const LiveVersion& live) { return items.settle(live.model); })) {
      return lock;
    }
  }
}

void LiveVersions::put(std::span<const std::uint32_t> rows, const EncodedItems& items) {
  const auto now = serving();
  for (const auto& live : now->versions) live.model->put(rows, items.texts(*live.model));
}

void LiveVersions::remove(std::span<const std::uint32_t> rows) {
  const auto now = serving();
  for (const auto& live : now->versions) live.model->remove(rows);
}

void LiveVersions::changed() {
  const auto now = serving();  // a range does not keep the pointer that it is reached by
  for (const auto& live : now->versions) live.transitions->changed();
}

void LiveVersions::update_transitions() {
  const auto now = serving();
  for (const auto& live : now->versions) live.transitions->update(live.model);
}

void LiveVersions::open() {
  const std::lock_guard lock(swaps_);
  if (const auto current = versions_.current()) serve(*current);
}

void LiveVersions::move_to_gpu(LiveModel& next, bool to_serve) {
  if (gpu_ == nullptr || next.model() == nullptr) return;
  const std::lock_guard moving(gpu_moves_);
  const auto live = serving()->current;
  for (const bool alone : {false, true}) {
    try {
      const auto loaded = gpu_->load(next.gpu_source(), machine_threads());
      if (!next.move_to_gpu(loaded)) return;  // the rebuilder tries again
      spdlog::info("version {} is on {}: {} over {} items, {} of {} MiB", next.card().version,
                   gpu_->name(), loaded->kind(), next.item_index()->size(), gpu_->bytes() >> 20,
                   gpu_->bytes_max() >> 20);
      return;
    } catch (const Unavailable& error) {
      next.leave_gpu(error.what());
      if (alone || !to_serve || !live || !live->on_gpu()) break;
      live->leave_gpu("the next version takes its place on the GPU");
    }
  }
  spdlog::warn("version {} is ranked on the CPU, {} cannot take it: {}", next.card().version,
               gpu_->name(), next.off_gpu());
}

/// The long part, beside puts.
LiveVersions::Loaded LiveVersions::load(Version version, bool to_serve) {
  Loaded loaded;
  loaded.live.model = std::make_shared<LiveModel>(std::move(version), rebuild_);
  loaded.live.transitions = std::make_shared<FreshTransitions>(db_);
  LiveModel& model = *loaded.live.model;
  loaded.revision = model.catch_up(db_.catalog(), model.card().catalog_revision, machine_threads());
  move_to_gpu(model, to_serve);
  return loaded;
}

/// Returns how far they are behind the catalogue again.
std::uint64_t LiveVersions::catch_up(std::span<Loaded> loaded) {
  std::uint64_t behind = 0;
  for (Loaded& one : loaded) {
    one.revision = one.live.model->catch_up(db_.catalog(), one.revision, machine_threads());
  }
  for (const Loaded& one : loaded) behind += db_.catalog().revision() - one.revision;
  return behind;
}

/// Lets what was loaded catch up, with the last of it while puts wait, and serves `next`, without
/// the versions that it does not need any more.
void LiveVersions::swap(Serving next, std::span<Loaded> loaded) {
  // Each round has what came during the one before. Until they get no shorter: what is encoded
  // while puts wait is little then.
  for (auto before = std::numeric_limits<std::uint64_t>::max(), behind = catch_up(loaded);
       0 < behind && behind < before; behind = catch_up(loaded)) {
    before = behind;
  }
  std::set<std::string_view> named;
  each_named_version(*next.experiments, [&](const auto&, const auto&, const std::string& version) {
    named.insert(version);
  });
  for (LiveVersion& live : next.versions) {
    if (!named.contains(live.model->card().version)) live.kept.reset();
  }
  std::erase_if(next.versions,
                [&](const LiveVersion& live) { return !live.kept && live.model != next.current; });
  auto replaced = std::make_shared<const Serving>(std::move(next));
  const std::lock_guard changes(catalogue_changes_);
  catch_up(loaded);
  const std::lock_guard lock(serving_mutex_);
  serving_.swap(replaced);
}

void LiveVersions::serve(std::string_view version) {
  Serving next = *serving();
  std::vector<Loaded> loaded;
  if (const LiveVersion* live = next.find(version)) {
    next.current = live->model;  // an experiment has it in memory
  } else {
    loaded.push_back(load(versions_.load(version), /*to_serve=*/true));
    next.current = loaded.front().live.model;
    next.versions.push_back(loaded.front().live);
  }
  swap(std::move(next), loaded);
}

void LiveVersions::set_experiments(const Experiments& experiments) {
  validate(experiments.holdout);
  for (std::size_t i = 0; i < experiments.list.size(); ++i) {
    validate(experiments.list[i], std::span(experiments.list).first(i));
  }
  const std::lock_guard lock(swaps_);
  Serving next = *serving();
  next.experiments = std::make_shared<const Experiments>(experiments);
  next.exposures = std::make_shared<const ExposureCounts>(experiments, *next.exposures);
  std::vector<Loaded> loaded;
  std::map<std::string, std::shared_ptr<const Versions::Lock>> kept;
  each_named_version(experiments, [&](const Experiment& experiment, const Variant& variant,
                                      const std::string& version) {
    if (kept.contains(version)) return;
    try {
      // Before it is read, so that it does not go while it is.
      kept[version] = std::make_shared<const Versions::Lock>(versions_.keep(version));
      if (next.find(version) != nullptr) return;
      loaded.push_back(load(versions_.load_older(version), /*to_serve=*/false));
      next.versions.push_back(loaded.back().live);
    } catch (const VersionError& error) {
      throw InvalidRequest("set.model_version",
                           fmt::format("experiment '{}': variant '{}' cannot have version {}: {}",
                                       experiment.name, variant.name, version, error.what()));
    }
  });
  for (LiveVersion& live : next.versions) {
    const auto found = kept.find(live.model->card().version);
    if (found != kept.end()) live.kept = found->second;
  }
  swap(std::move(next), loaded);
  const auto sentences = conflicts(experiments);
  for (const auto& sentence :
       std::span(sentences).first(std::min(sentences.size(), kConflictsLogged))) {
    spdlog::warn("{}", sentence);
  }
  if (sentences.size() > kConflictsLogged) {
    spdlog::warn("{} more such pairs", sentences.size() - kConflictsLogged);
  }
}

bool LiveVersions::reload() {
  const std::lock_guard lock(swaps_);
  std::string current;
  try {
    const auto named = versions_.current();
    const auto live = serving()->current;
    if (!named || *named == refused_ || (live && live->card().version == *named)) return false;
    current = *named;
    serve(current);
  } catch (const VersionError& error) {
    // Not tried again, nor logged again, until CURRENT says something else.
    const std::string complaint = current.empty() ? error.what() : current;
    if (refused_ != complaint) {
      spdlog::error("new version refused, the old one keeps serving: {}", error.what());
    }
    refused_ = complaint;
    return false;
  }
  refused_.clear();
  spdlog::info("serving version {}", current);
  return true;
}

void LiveVersions::roll_back(std::string_view to) {
  const std::lock_guard lock(swaps_);
  versions_.roll_back(to);
  serve(to);
  spdlog::info("serving version {}, to which was rolled back", to);
}

bool LiveVersions::rebuild(const std::stop_token& stop) {
  const auto now = serving();
  bool changed = false;
  for (const auto& live : now->versions) {
    if (stop.stop_requested()) break;
    changed |= rebuild(live.model, live.model == now->current, stop);
  }
  return changed;
}

bool LiveVersions::rebuild(const std::shared_ptr<LiveModel>& live, bool serves,
                           const std::stop_token& stop) {
  bool changed = false;
  if (live->rebuild_due()) {
    const auto begin = std::chrono::steady_clock::now();
    changed = live->rebuild(
        1, [&] { return !stop.stop_requested() && serving()->find(live.get()) != nullptr; });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (changed) {
      spdlog::info("version {} has its indexes built anew over {} items, in {:.1f} s",
                   live->card().version, live->text_index().size(), took.count());
    }
  }
  if (!live->awaits_gpu()) return changed;
  move_to_gpu(*live, serves);
  return true;
}

}  // namespace fovea::engine
