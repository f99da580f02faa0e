// fovea versions and fovea rollback: which versions there are, and another one of them to serve.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/commands.h"
#include "api/version_json.h"
#include "engine/models.h"

namespace fovea::api {
namespace {

struct VersionsFlags {
  std::filesystem::path data;
  std::optional<std::string> to;
  bool json = false;
};

/// Refused before a folder is made in it.
engine::Versions versions_of(const std::filesystem::path& data) {
  if (!std::filesystem::is_directory(data)) {
    throw std::runtime_error(fmt::format(
        "there is no data directory {}; name one that `fovea import` has made", data.string()));
  }
  return engine::Versions(data);
}

std::string utc(std::int64_t time_ms) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}Z",
                     fmt::gmtime(static_cast<std::time_t>(time_ms / 1000)));
}

/// The best that is known of it: as the gate measured it, else as its training stopped by.
std::string quality(const engine::VersionCard& card) {
  for (const char* part : {"test", "validation"}) {
    const auto own = card.metrics.find(
        fmt::format("{}_{}ndcg@10", part, std::string_view(part) == "test" ? "" : "ranker_"));
    const auto popular = card.metrics.find(fmt::format("{}_popular_ndcg@10", part));
    if (own == card.metrics.end()) continue;
    std::string text = fmt::format("{} ndcg@10 {:.4f}", part, own->second);
    if (popular != card.metrics.end()) text += fmt::format(", popular {:.4f}", popular->second);
    return text;
  }
  return card.behaviours == 0 ? "texts only" : "not measured";
}

void print(std::span<const engine::ListedVersion> versions) {
  if (versions.empty()) std::cout << "No version yet; make one with fovea train.\n";
  for (const engine::ListedVersion& version : versions) {
    std::cout << fmt::format("{} {}  ", version.current ? '*' : ' ', version.name);
    if (!version.card) {
      std::cout << "damaged: " << version.complaint << '\n';
      continue;
    }
    const engine::VersionCard& card = *version.card;
    std::cout << fmt::format("trained {}  {} behaviours, {}", utc(card.trained_ms), card.behaviours,
                             quality(card));
    if (card.text_encoder != "lsa") std::cout << ", texts by " << card.text_encoder;
    if (!card.from.empty()) std::cout << ", from " << card.from;
    std::cout << '\n';
  }
  if (!versions.empty()) std::cout << "* serves\n";
}

}  // namespace

void add_versions(CLI::App& app) {
  const auto flags = std::make_shared<VersionsFlags>();
  CLI::App* command =
      app.add_subcommand("versions", "List what was trained, how good it is and which serves");
  command->footer("Example: fovea versions --data shop");
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command->add_flag("--json", flags->json, "Print an array with every metric");
  command->callback([flags] {
    const auto versions = versions_of(flags->data).list();
    if (flags->json) {
      std::cout << to_json(versions) << '\n';
    } else {
      print(versions);
    }
  });
}

void add_rollback(CLI::App& app) {
  const auto flags = std::make_shared<VersionsFlags>();
  CLI::App* command = app.add_subcommand("rollback", "Let an earlier version serve again");
  command->footer(
      "Servers of the directory take it up by themselves, as they do a new one. The version that\n"
      "is left stays on the disk, and --to can name it.\n\n"
      "Example:\n  fovea rollback --data shop\n"
      "  fovea rollback --data shop --to 20260101T120000.000Z");
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command
      ->add_option("--to", flags->to,
                   "A version that `fovea versions` lists; the one that served before by default")
      ->type_name("VERSION");
  command->callback([flags] {
    const engine::Versions versions = versions_of(flags->data);
    std::cout << fmt::format("version {} serves\n", versions.roll_back(flags->to));
  });
}

}  // namespace fovea::api
