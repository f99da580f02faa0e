// What a load consists of: by a workload's name the requests that a shop's pages would send, drawn
// with a seed. Sends nothing.
#pragma once

#include <fovea_wire/fovea_types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ranking/random.h"
#include "storage/db.h"

namespace fovea::api {

/// One call of the contract, by its arguments: rank, rankMany or record.
using Call = std::variant<RankRequest, std::vector<RankRequest>, std::vector<Event>>;

/// Who and what there is to draw from.
struct Population {
  std::vector<std::string> users;    ///< With a behaviour, in the order of their ids.
  std::vector<std::string> items;    ///< Present ones.
  std::vector<std::string> actions;  ///< Declared ones with a weight above 0.
  std::vector<std::string> queries;  ///< A few words of a text each, of at most 10,000 items.
};

/// Reads the whole store once. Throws storage::StoreError.
Population population_of(storage::Db& db, std::uint64_t seed);

/// Requests in one batch call.
inline constexpr std::size_t kRequestsPerBatch = 32;
/// Rankings for each recorded behaviour in the mixed workload.
inline constexpr std::size_t kRanksPerRecord = 10;

struct WorkloadOptions {
  /// rank: a user's list. record: one behaviour. mixed: ten lists, then one behaviour. filtered:
  /// a user's list under a filter. search: a user's query, also under a filter. batch: 32 users'
  /// lists in one call.
  std::string name = "rank";
  std::string filter;  ///< Of filtered, which needs it, and of search.
  std::string query;   ///< Of search; empty: one of the population's each time.
  std::uint64_t seed = 1;
};

/// Throws std::invalid_argument for options that no workload has or that contradict it.
void validate(const WorkloadOptions& options);

inline constexpr std::string_view kWorkloads[] = {"rank",     "record", "mixed",
                                                  "filtered", "search", "batch"};

/// Not thread-safe.
class Workload {
 public:
  /// Validates the options; throws std::runtime_error where the population lacks what the workload
  /// draws. The population must outlive it.
  Workload(const Population& population, WorkloadOptions options);

  /// The next one. The same options and population give the same calls in the same order.
  Call next();

 private:
  RankRequest for_user();
  Event behaviour();
  const std::string& any_user();

  const Population& population_;
  WorkloadOptions options_;
  ranking::Random random_;
  std::size_t drawn_ = 0;
};

}  // namespace fovea::api
