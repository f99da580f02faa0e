// Users come by Zipf's law, the first most; what they act on and search for is drawn evenly.
#include "api/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "engine/request.h"

namespace fovea::api {
namespace {

constexpr std::size_t kQueriesMax = 10'000;
constexpr std::size_t kWordsPerQuery = 3;

/// Words that stand together in the text; empty where it has none, or longer ones than a query may
/// be.
std::string words_of(const std::string& text, ranking::Random& random) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  if (words.empty()) return "";
  const std::size_t count = std::min(kWordsPerQuery, words.size());
  const std::size_t begin = random.below(words.size() - count + 1);
  std::string query = words[begin];
  for (std::size_t i = 1; i < count; ++i) query += " " + words[begin + i];
  return query.size() <= engine::kQueryBytesMax ? query : "";
}

void require(bool there, const std::string& workload, const char* what) {
  if (!there) {
    throw std::runtime_error(
        fmt::format("the data directory has no {}, which the workload {} draws", what, workload));
  }
}

}  // namespace

Population population_of(storage::Db& db, std::uint64_t seed) {
  Population population;
  population.users.reserve(static_cast<std::size_t>(db.history().users()));
  db.history().for_each_user(
      [&](std::string_view user, auto) { population.users.emplace_back(user); });
  const auto items = static_cast<std::size_t>(db.catalog().size());
  population.items.reserve(items);
  const std::size_t step = items / kQueriesMax + 1;
  ranking::Random random(seed);
  db.catalog().for_each([&](const storage::StoredItem& item) {
    if (item.text && population.items.size() % step == 0) {
      std::string query = words_of(*item.text, random);
      if (!query.empty()) population.queries.push_back(std::move(query));
    }
    population.items.push_back(item.item_id);
  });
  for (storage::Action& action : db.catalog().actions()) {
    if (action.weight > 0) population.actions.push_back(std::move(action.name));
  }
  return population;
}

void validate(const WorkloadOptions& options) {
  const std::string& name = options.name;
  if (std::ranges::find(kWorkloads, name) == std::end(kWorkloads)) {
    throw std::invalid_argument(
        fmt::format("there is no workload '{}'; there are {}", name, fmt::join(kWorkloads, ", ")));
  }
  if (name == "filtered" && options.filter.empty()) {
    throw std::invalid_argument(
        "the workload filtered needs a filter, such as --filter \"price < 10\"");
  }
  if (name != "filtered" && name != "search" && !options.filter.empty()) {
    throw std::invalid_argument(
        fmt::format("the workload {} has no filter; choose the workload filtered or search", name));
  }
  if (name != "search" && !options.query.empty()) {
    throw std::invalid_argument(
        fmt::format("the workload {} has no query; choose the workload search", name));
  }
}

Workload::Workload(const Population& population, WorkloadOptions options)
    : population_(population), options_(std::move(options)), random_(options_.seed) {
  validate(options_);
  const std::string& name = options_.name;
  if (name == "search") {
    require(!options_.query.empty() || !population_.queries.empty(), name, "item with a text");
  } else {
    require(!population_.users.empty(), name, "users");
  }
  if (name == "record" || name == "mixed") {
    require(!population_.items.empty(), name, "items");
    require(!population_.actions.empty(), name, "action with a weight above 0");
  }
}

Call Workload::next() {
  const std::size_t number = drawn_++;
  const std::string& name = options_.name;
  if (name == "record" || (name == "mixed" && number % (kRanksPerRecord + 1) == kRanksPerRecord)) {
    return std::vector<Event>{behaviour()};
  }
  if (name == "batch") {
    std::vector<RankRequest> requests(kRequestsPerBatch);
    for (RankRequest& request : requests) request = for_user();
    return requests;
  }
  if (name == "search") {
    RankRequest request = population_.users.empty() ? RankRequest() : for_user();
    request.__set_query(options_.query.empty()
                            ? population_.queries[random_.below(population_.queries.size())]
                            : options_.query);
    if (!options_.filter.empty()) request.__set_filter(options_.filter);
    return request;
  }
  RankRequest request = for_user();
  if (name == "filtered") request.__set_filter(options_.filter);
  return request;
}

RankRequest Workload::for_user() {
  RankRequest request;
  request.__set_user_id(any_user());
  return request;
}

Event Workload::behaviour() {
  Event event;
  event.user_id = any_user();
  event.item_id = population_.items[random_.below(population_.items.size())];
  event.action = population_.actions[random_.below(population_.actions.size())];
  return event;
}

/// P(place <= k) = log(k + 1) / log(n + 1): weights of 1 / place.
const std::string& Workload::any_user() {
  const auto& users = population_.users;
  const double place = std::pow(static_cast<double>(users.size() + 1), random_.uniform()) - 1;
  return users[std::min(static_cast<std::size_t>(place), users.size() - 1)];
}

}  // namespace fovea::api
