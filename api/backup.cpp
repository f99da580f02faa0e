// fovea backup: flags and what is printed.
#include "engine/backup.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <memory>

#include "api/commands.h"
#include "api/progress.h"

namespace fovea::api {
namespace {

struct BackupFlags {
  std::filesystem::path data;
  std::filesystem::path to;
  bool json = false;
};

constexpr double kMegabyte = 1024 * 1024;

void print(const engine::BackupResult& result, const BackupFlags& flags, double seconds) {
  if (flags.json) {
    boost::json::object object;
    object["to"] = flags.to.string();
    object["keys"] = result.keys;
    object["store_bytes"] = result.store_bytes;
    object["versions"] = boost::json::array(result.versions.begin(), result.versions.end());
    object["current_version"] = result.current_version;
    object["seconds"] = seconds;
    std::cout << object << '\n';
    return;
  }
  const double megabytes = static_cast<double>(result.store_bytes) / kMegabyte;
  std::cout << fmt::format(
      "{} keys, {:.1f} MB of tables, {} versions, {:.1f} s\n"
      "{} is a data directory of its own, with everything acknowledged before the backup began; to "
      "restore, serve it:\n"
      "  fovea serve --data {}\n",
      result.keys, megabytes, result.versions.size(), seconds, flags.to.string(),
      flags.to.string());
}

constexpr const char* kBackupHelp =
    R"(A server, an import or a training may run on the directory meanwhile. What was acknowledged
before the backup began is in it, and every call is in it whole or not at all; later ones may be
missing. A user deleted before is not in it. It is written as DIR.unfinished, which no command
opens, and gets its name when all of it is on the disk.

To restore, serve the backup, or move it to where the data directory was:
  fovea backup --data shop --to /mnt/backups/shop-monday
  fovea serve --data /mnt/backups/shop-monday)";

}  // namespace

void add_backup(CLI::App& app) {
  const auto flags = std::make_shared<BackupFlags>();
  CLI::App* command =
      app.add_subcommand("backup", "Copy a data directory that may be served meanwhile");
  command->footer(kBackupHelp);
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command
      ->add_option("--to", flags->to, "The backup: a directory that is not there yet, or is empty")
      ->required()
      ->type_name("DIR");
  command->add_flag("--json", flags->json, "Print the result as JSON");
  command->callback([flags] {
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    Progress progress = Progress::to_stderr();
    const engine::BackupResult result =
        engine::back_up(flags->data, flags->to, [&](std::uint64_t done, std::uint64_t of) {
          // A key takes a microsecond or two, and the clock and the bar's text as much again.
          constexpr std::uint64_t kKeysBetween = 1024;
          if (done % kKeysBetween != 0) return;
          progress.bar(fmt::format("backup, {:.0f} keys/s", static_cast<double>(done) / seconds()),
                       done, of);
        });
    progress.clear();
    print(result, *flags, seconds());
  });
}

}  // namespace fovea::api
