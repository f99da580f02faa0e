// The contract's methods around those of another service, counted and timed; and everything that is
// measured as Prometheus' text. Owns the names of the metrics. No label holds what a user sent.
#pragma once

#include <fovea_wire/Fovea.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace fovea::api {

/// A port's figures when the metrics are read.
struct PortFigures {
  std::string name;  ///< "thrift"
  std::size_t connections = 0;
  std::size_t requests = 0;   ///< Being answered or waiting for a worker.
  std::uint64_t refused = 0;  ///< Requests not let in, which no service has seen.
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

  /// Counters and times, what the other's status() tells, and the ports' figures. Throws what
  /// status() throws.
  std::string metrics_text(std::span<const PortFigures> ports);

 private:
  struct Metrics;
  FoveaIf& service_;
  std::unique_ptr<Metrics> metrics_;
};

}  // namespace fovea::api
