// Fills a store as a server that runs an experiment would: planted_store DIR CONFIG, with lines on
// stdin: "expose USER REQUEST TIME_MS VARIANT VERSION EXPERIMENT", the same with " ITEM:TEAM"s for
// an interleaved list, "shuffle USER REQUEST TIME_MS VARIANT VERSION EXPERIMENT ITEM ..." of items
// that "put ITEM" named before, "act USER ACTION ITEM TIME_MS REQUEST VALUE" with - for what is
// absent. Says "planted" at the line "done" and keeps the store open until the end of its input.
#include "tests/planted_store.h"

#include <iostream>
#include <sstream>
#include <string>

#include "api/config.h"
#include "api/declarations.h"

int main(int argc, char** argv) {
  using namespace fovea;
  if (argc != 3) return 2;
  const auto db = storage::Db::open(argv[1], storage::Access::kReadWrite);
  engine::declare_planted_actions(*db);
  api::keep_declarations(*db, api::read_config(argv[2]).experiments);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    if (what == "put") {
      storage::Item item;
      words >> item.item_id;
      db->catalog().put({&item, 1});
    } else if (what == "expose" || what == "shuffle") {
      engine::PlantedExposure exposure;
      words >> exposure.user >> exposure.request >> exposure.time_ms >> exposure.variant >>
          exposure.version >> exposure.experiment;
      exposure.shuffled = what == "shuffle";
      std::string shown;
      while (words >> shown) {
        const auto colon = shown.find(':');
        exposure.items.push_back(shown.substr(0, colon));
        if (what == "shuffle") continue;
        exposure.teams.push_back(static_cast<std::uint8_t>(std::stoi(shown.substr(colon + 1))));
      }
      engine::plant(*db, exposure);
    } else if (what == "act") {
      engine::PlantedEvent event;
      std::string request;
      std::string value;
      words >> event.user >> event.action >> event.item >> event.time_ms >> request >> value;
      if (request != "-") event.request = request;
      if (value != "-") event.value = std::stod(value);
      engine::plant(*db, event);
    } else {
      std::cout << "planted" << std::endl;
    }
  }
}
