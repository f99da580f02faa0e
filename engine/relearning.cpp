#include "engine/relearning.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/dataset.h"
#include "engine/gate.h"
#include "engine/models.h"
#include "engine/request.h"
#include "storage/db.h"

namespace fovea::engine {
namespace {

/// Of the version that serves; absent: none does that can be read.
std::optional<VersionCard> current_card(const std::filesystem::path& data_directory) {
  for (ListedVersion& version : Versions(data_directory).list()) {
    if (version.current) return std::move(version.card);
  }
  return std::nullopt;
}

/// It begins where a training ended: there is no start to get over, and little left to wait for.
LearnOptions going_on(LearnOptions options, std::string from) {
  options.from = std::move(from);
  options.train.epochs_min = std::min<std::size_t>(options.train.epochs_min, 1);
  options.train.patience = std::min<std::size_t>(options.train.patience, 2);
  return options;
}

}  // namespace

Relearning::Relearning(std::filesystem::path data_directory, RelearnOptions options)
    : data_directory_(std::move(data_directory)), options_(std::move(options)) {
  storage::Db::open(data_directory_, storage::Access::kReadOnly);
}

Relearning::Material Relearning::material() const {
  const auto db = storage::Db::open(data_directory_, storage::Access::kReadOnly);
  Dataset dataset = read_dataset(*db);
  const SplitData parts =
      split(std::move(dataset.interactions), options_.learn.split, dataset.action_weights);
  Material material{parts.train.users(), parts.train.behaviours.size(), 0,
                    db->catalog().revision()};
  for (const ranking::Behaviour& behaviour : parts.train.behaviours) {
    material.newest_ms = std::max(material.newest_ms, behaviour.time_ms);
  }
  return material;
}

std::string Relearning::base(const std::optional<VersionCard>& current) const {
  if (!current || refused_ || current->split != options_.learn.split) return "";
  return current->continued + 1 < options_.full_every ? current->version : "";
}

std::string Relearning::round(const std::function<void(const LearnProgress&)>& progress) {
  const Material now = material();
  const std::optional<VersionCard> current = current_card(data_directory_);
  if (now == refused_) return "nothing new since the training that was not published";
  if (current && current->split == options_.learn.split &&
      now == Material{current->users, current->behaviours, current->newest_ms,
                      current->catalog_revision}) {
    return fmt::format("nothing new since version {}", current->version);
  }
  std::string from = base(current);
  try {
    LearnResult result;
    try {
      result = learn(data_directory_,
                     from.empty() ? options_.learn : going_on(options_.learn, from), progress);
    } catch (const InvalidRequest& error) {
      // Another recipe, or a store that has changed below it: learned anew, there is nothing to
      // ask.
      if (from.empty()) throw;
      if (progress) progress({"from", fmt::format("starting from nothing: {}", error.what())});
      from.clear();
      result = learn(data_directory_, options_.learn, progress);
    }
    refused_.reset();
    std::string line = fmt::format(
        "version {} published, {}, {} behaviours of {} users", result.version,
        from.empty() ? "from nothing" : "going on from " + from, result.behaviours, result.users);
    const auto measured = result.metrics.find("test_ndcg@10");
    if (measured != result.metrics.end()) line += fmt::format(", ndcg@10 {:.4f}", measured->second);
    return line + fmt::format(", {:.1f} s", result.seconds);
  } catch (const NotPublished& refusal) {
    refused_ = now;
    return refusal.what();
  }
}

}  // namespace fovea::engine
