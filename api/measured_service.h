// The contract's methods around those of another service, counted and timed; and everything that is
// measured as Prometheus' text. Owns the names of the metrics. No label holds what a user sent.
#pragma once

#include <fovea_wire/Fovea.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine_figures.h"

namespace fovea::api {

/// A port's figures when the metrics are read.
struct PortFigures {
  std::string name;  ///< "thrift"
  std::size_t connections = 0;
  std::size_t requests = 0;   ///< Being answered or waiting for a worker.
  std::uint64_t refused = 0;  ///< Requests not let in, which no service has seen.
};

/// What is tried on whoever asks, when the metrics are read.
struct ExperimentFigures {
  std::vector<engine::VariantExposures> exposures;
  /// Whether the configuration file, as it was read last, is what is served; absent: there is none.
  std::optional<bool> config_taken;
};

/// Calls of one of the contract's methods since the start, by how they ended.
struct MethodFigures {
  std::string name;  ///< "rank"
  std::uint64_t ok = 0;
  std::uint64_t invalid = 0;
  std::uint64_t overloaded = 0;
  std::uint64_t unavailable = 0;
  std::uint64_t failed = 0;
};

/// The lists among which recent times are told.
inline constexpr std::size_t kRecentLists = 1024;

/// Microseconds that half of the recent lists, and 99 of 100, took at most: by nearest rank, one of
/// them took exactly that.
struct Percentiles {
  std::int64_t p50 = 0;
  std::int64_t p99 = 0;
};

struct ServiceFigures {
  std::vector<MethodFigures> methods;
  std::uint64_t lists = 0;  ///< Ranked since the start.
  std::uint64_t degraded_lists = 0;
  std::size_t recent_lists = 0;  ///< At most kRecentLists, the newest.
  Percentiles total;             ///< Of the sum of a list's stages.
  std::map<std::string, Percentiles> stages;
};

/// Thread-safe when the other is. Methods throw what the other's throw.
class MeasuredService final : public FoveaIf {
 public:
  /// `service` must outlive this.
  explicit MeasuredService(FoveaIf& service);
  ~MeasuredService() override;

  void rank(RankResponse& response, const RankRequest& request) override;
  void rankMany(std::vector<RankResponse>& responses,
                const std::vector<RankRequest>& requests) override;
  std::int32_t record(const std::vector<Event>& events) override;
  std::int32_t putItems(const std::vector<Item>& items) override;
  std::int32_t removeItems(const std::vector<std::string>& item_ids) override;
  void getItems(std::vector<Item>& items, const std::vector<std::string>& item_ids) override;
  void getHistory(std::vector<Event>& events, const std::string& user_id,
                  std::int32_t limit) override;
  void deleteUser(const std::string& user_id) override;
  void status(Status& status) override;

  ServiceFigures figures() const;

  /// Counters and times, what the other's status() tells, and the figures given. Throws what
  /// status() throws.
  std::string metrics_text(std::span<const PortFigures> ports,
                           const ExperimentFigures& experiments);

 private:
  struct Metrics;
  FoveaIf& service_;
  std::unique_ptr<Metrics> metrics_;
};

}  // namespace fovea::api
