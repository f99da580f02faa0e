// Users whose tastes are known play against a running server: each has acted on what he likes, asks
// for a list, and acts on it by chance. What an experiment must find is then known before its
// report is read. Owns the users and how they act; the server assigns, exposes and records as for
// anybody, and engine/report judges.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "api/address.h"
#include "api/tls.h"
#include "engine/experiments.h"
#include "storage/catalog.h"

namespace fovea::api {

/// Items by what somebody may like: the values of one attribute.
struct Tastes {
  struct Taste {
    std::string value;
    std::vector<std::string> items;  ///< That have it, at least one.
  };
  std::string attribute;
  std::vector<Taste> list;  ///< By value.
};

/// Of a text attribute, or one of texts, of the present items. Throws std::runtime_error with the
/// attributes there are when no item has it, or when all have the same one value.
Tastes tastes_of(const storage::Catalog& catalog, const std::string& attribute);

/// How a user goes down a list: at each place he acts and is done with the probability of an item
/// he likes or of another, else goes on to the next place with `patience`.
struct Habits {
  double liked = 0.2;
  double other = 0.02;
  double patience = 0.85;
};

/// The probability that he acts on something of a list; `liked` by place.
double acts(const std::vector<bool>& liked, const Habits& habits);

struct SimulationOptions {
  std::size_t users = 2000;
  std::size_t behaviours = 5;  ///< Of each, on items of his taste, before his list.
  std::int32_t limit = 10;     ///< Of a list.
  std::size_t connections = 8;
  /// The users are "sim-SEED-0" and so on; a seed that was played before adds to the same users.
  std::uint64_t seed = 1;
  Habits habits;
};

struct Simulation {
  struct Arm {
    std::string variant;
    std::int64_t users = 0;  ///< That were assigned to it.
    std::int64_t acted = 0;  ///< Of them.
    /// The mean probability to act, over all users of the experiment, had each been shown this one.
    double expected = 0;
  };
  std::vector<Arm> arms;         ///< As declared.
  std::int64_t outside = 0;      ///< Users that were in no variant.
  std::int64_t interleaved = 0;  ///< Users whose list was made of both variants.

  /// What is to be found: of this arm against the first, as a share of the first's.
  double planted_lift(std::size_t arm) const;
};

/// Plays. Each user's list is also asked for by every variant's name, which shows nobody anything
/// and is no exposure: so the difference is known from the lists themselves. Calls `progress` with
/// the users that are done, from any thread. Throws ClientError or std::runtime_error with a
/// sentence.
Simulation simulate(const HostPort& server, const TlsFiles& tls,
                    const engine::Experiment& experiment, const Tastes& tastes,
                    const SimulationOptions& options,
                    const std::function<void(std::size_t)>& progress);

}  // namespace fovea::api
