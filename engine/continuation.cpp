#include "engine/continuation.h"

#include <fmt/format.h>

#include <string>

#include "engine/files.h"
#include "engine/request.h"

namespace fovea::engine {
namespace {

/// SHA-256 of all that is learned from.
std::string fingerprint(const ranking::TrainData& data) {
  Sha256 sum;
  const auto add = [&](const void* bytes, std::size_t n) {
    sum.add({static_cast<const char*>(bytes), n});
  };
  const auto& [offsets, behaviours] = data.interactions;
  add(offsets.data(), offsets.size() * sizeof offsets[0]);
  add(data.action_weights.data(), data.action_weights.size() * sizeof data.action_weights[0]);
  for (const ranking::Behaviour& behaviour : behaviours) {  // field by field: there is padding
    add(&behaviour.row, sizeof behaviour.row);
    add(&behaviour.action, sizeof behaviour.action);
    add(&behaviour.value, sizeof behaviour.value);
    add(&behaviour.time_ms, sizeof behaviour.time_ms);
  }
  return sum.hex();
}

}  // namespace

Version load_base(const Versions& versions, const std::string& from, Split split,
                  const ranking::TrainOptions& options) {
  const auto current = versions.current();
  if (from == "CURRENT" && !current) {
    throw InvalidRequest("from", "no version was published yet; train without --from first");
  }
  const std::string name = from == "CURRENT" ? *current : from;
  Version base = name == current ? versions.load(name) : versions.load_older(name);
  if (!base.model) {
    throw InvalidRequest("from", fmt::format("version {} knows texts only, there is no model to go "
                                             "on from; train without --from",
                                             name));
  }
  if (base.card.split != split) {
    throw InvalidRequest(
        "split", fmt::format("version {} was trained with --split {} and this training has {}: it "
                             "may have learned what is to be held out now; give the same split, or "
                             "train without --from",
                             name, engine::name(base.card.split), engine::name(split)));
  }
  const auto same = [&](const char* option, std::size_t had, std::size_t wanted) {
    if (had == wanted) return;
    throw InvalidRequest(option, fmt::format("version {} has {} {} and this training {}; give --{} "
                                             "{}, or train without --from",
                                             name, option, had, wanted, option, had));
  };
  same("width", base.card.options.width, options.width);
  same("heads", base.card.options.heads, options.heads);
  same("behaviours-max", base.card.options.behaviours_max, options.behaviours_max);
  same("ranker-candidates", base.card.options.ranker_candidates, options.ranker_candidates);
  return base;
}

void check_base(const Version& version, Split split, const SplitData& parts,
                std::optional<std::size_t> embedding_width) {
  const VersionCard& base = version.card;
  // Cutting by users cannot hold out what it did not before: behaviours come, and each user's
  // last two are then later ones. Points in time move back when old behaviours are imported.
  for (const ranking::HeldOut& question : parts.validation) {
    if (split == Split::kTime && question.target.time_ms <= base.newest_ms) {
      throw InvalidRequest("from", fmt::format("older behaviours came since version {}, so that "
                                               "the split by time now holds out what it has "
                                               "learned; train without --from",
                                               base.version));
    }
  }
  if (embedding_width && *embedding_width != version.text_space.width()) {
    throw InvalidRequest("from",
                         fmt::format("the items' embeddings have {} channels and the "
                                     "texts of version {} have {}; train without --from",
                                     *embedding_width, base.version, version.text_space.width()));
  }
}

Checkpoint::Identity identity(const VersionCard& card, const ranking::TrainOptions& options,
                              const ranking::TrainData& data, const std::string& encoder) {
  Checkpoint::Identity identity = {{"program", FOVEA_VERSION},
                                   {"split", std::string(name(card.split))},
                                   {"base version", card.from},
                                   {"text encoder", encoder},
                                   {"seed", std::to_string(options.seed)},
                                   // Sums are added in another order by another number of threads
                                   // and by another device.
                                   {"number of threads", std::to_string(options.threads)},
                                   {"device", card.device},
                                   {"catalogue revision", std::to_string(card.catalog_revision)}};
  ranking::for_each_option(options, [&](const char* option, const auto& field, auto...) {
    identity.emplace_back(option, fmt::format("{}", field));
  });
  identity.emplace_back("behaviours", fingerprint(data));
  return identity;
}

}  // namespace fovea::engine
