// fovea import: flags and what is printed.
#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "api/commands.h"
#include "api/config.h"
#include "api/import.h"

namespace fovea::api {
namespace {

void print(const ImportSummary& summary, bool json) {
  if (json) {
    boost::json::object object;
    object["items"] = summary.items;
    object["items_new"] = summary.items_new;
    object["events"] = summary.events;
    object["events_new"] = summary.events_new;
    object["events_duplicate"] = summary.events - summary.events_new;
    object["events_of_unknown_items"] = summary.events_of_unknown_items;
    object["skipped"] = summary.skipped;
    object["seconds"] = summary.seconds;
    std::cout << object << '\n';
    return;
  }
  std::cout << fmt::format(
      "{} items ({} new), {} events ({} new, {} already there), {} lines skipped, {:.1f} s\n",
      summary.items, summary.items_new, summary.events, summary.events_new,
      summary.events - summary.events_new, summary.skipped, summary.seconds);
  if (summary.events_of_unknown_items > 0) {
    std::cout << fmt::format(
        "{} events name items that are not in the catalogue; they count once the items arrive\n",
        summary.events_of_unknown_items);
  }
}

constexpr const char* kImportHelp =
    R"(Everything is checked first. A bad line is reported with file and line number and skipped; more
than --max-errors stop the import with nothing written. Importing the same files again adds
nothing, as long as each event has a time_ms or an event_id.

JSON Lines, one object a line:
  items   item_id, text, embedding, attributes (an object of strings, numbers, booleans, lists
          of strings)
  events  user_id, item_id, action, time_ms (milliseconds since 1970), value, event_id, request_id
CSV (.csv, or --format csv) with a header of the same names. Attribute columns are named
attributes.NAME, or attributes.NAME[] for lists with | between the texts; a cell that is a number,
true or false counts as such, an empty one as absent. An embedding is a JSON list in one cell.

Example:
  fovea import --data shop --items items.jsonl --events events.jsonl)";

}  // namespace

void add_import(CLI::App& app) {
  struct Flags {
    ImportOptions options;
    std::string format;
    std::filesystem::path config;
    bool json = false;
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("import", "Read items and events into a store");
  command->footer(kImportHelp);
  command->add_option("--data", flags->options.data, "Data directory")
      ->required()
      ->type_name("DIR");
  command->add_option("--items", flags->options.items, "Items; - is stdin")->type_name("FILE");
  command->add_option("--events", flags->options.events, "Events; - is stdin")->type_name("FILE");
  command
      ->add_option("--format", flags->format,
                   "jsonl or csv; told from name and content when left out")
      ->check(CLI::IsMember({"jsonl", "csv"}));
  command
      ->add_option("--config", flags->config,
                   "TOML with actions and their weights; others are declared with weight 1")
      ->type_name("FILE");
  command->add_option("--max-errors", flags->options.errors_max, "Bad lines that are skipped")
      ->capture_default_str()
      ->type_name("N");
  command->add_flag("--json", flags->json, "Print the summary as JSON");
  command->callback([flags] {
    if (!flags->options.items && !flags->options.events) {
      throw CLI::ValidationError("import", "nothing to import; give --items, --events or both");
    }
    if (flags->options.items == "-" && flags->options.events == "-") {
      throw CLI::ValidationError("import", "only one of --items and --events can be stdin");
    }
    if (!flags->format.empty()) flags->options.format = parse_format(flags->format);
    if (!flags->config.empty()) flags->options.actions = read_config(flags->config).actions;
    Progress progress = Progress::to_stderr();
    print(import_files(flags->options, progress), flags->json);
  });
}

}  // namespace fovea::api
