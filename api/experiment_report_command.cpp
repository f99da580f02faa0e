// fovea experiment report: flags, and where the report goes.
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "api/experiment_flags.h"
#include "api/experiment_page.h"
#include "api/experiment_report.h"
#include "api/output_file.h"

namespace fovea::api {
namespace {

struct ReportFlags : ExperimentFlags {
  std::filesystem::path html;
  std::int64_t period_ms = engine::kDayMs;
  bool sequential = false;
};

void run(const ReportFlags& flags) {
  std::optional<OutputFile> html;
  if (!flags.html.empty()) html.emplace("--html", flags.html);
  engine::ReportOptions options;
  options.success = flags.success;
  options.version = flags.version;
  options.window_ms = flags.window_ms();
  options.sequential = flags.sequential;
  options.now_ms = flags.until_ms();
  options.period_ms = flags.period_ms;
  const auto db = storage::Db::open(flags.data, storage::Access::kReadOnly);  // beside a server
  const engine::Report report = engine::make_report(*db, flags.declared(*db), options);
  if (html) html->write(experiment_page(report));
  if (flags.json) {
    std::cout << report_json(report) << '\n';
  } else {
    std::cout << report_text(report);
  }
}

}  // namespace

void add_report(CLI::App& experiment) {
  const auto flags = std::make_shared<ReportFlags>();
  CLI::App* command = experiment.add_subcommand(
      "report", "Say which variant is better, from what the store knows, beside a server or not");
  command->footer(
      "A unit counts for the variant it was first shown; behaviours count from that moment on: "
      "one\n"
      "that names its request when that was part of the experiment, one that names none within\n"
      "the window. Times are UTC. The verdict is withheld when the split is not as declared.\n\n"
      "Example:\n"
      "  fovea experiment report --data shop --experiment no-ranker --html report.html");
  flags->add_to(*command);
  command->add_flag("--sequential", flags->sequential,
                    "Intervals and p-values that hold at every look, for who looks daily");
  command
      ->add_option("--by", flags->period_ms,
                   "What a point of the drawings and of --json's periods is: day, hour or minute")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, std::int64_t>(kReportPeriods.begin(), kReportPeriods.end())))
      ->default_str("day");
  command->add_option("--html", flags->html, "Also write a page with drawings")->type_name("FILE");
  command->callback([flags] { run(*flags); });
}

}  // namespace fovea::api
