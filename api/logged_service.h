// The contract's methods around those of another service, each call with its line in the log where
// one is wanted. Stands around api/measured_service only where some are, so that it costs nothing
// otherwise.
#pragma once

#include <fovea_wire/Fovea.h>

#include <cstdint>
#include <string>
#include <vector>

#include "api/request_log.h"

namespace fovea::api {

/// Thread-safe when the other is. Methods throw what the other's throw.
class LoggedService final : public FoveaIf {
 public:
  /// `service` must outlive this.
  LoggedService(FoveaIf& service, const RequestLogOptions& options)
      : service_(service), options_(options) {}

  void rank(RankResponse& response, const RankRequest& request) override;
  /// A line for each response, by its own id, with the time of the whole call.
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

 private:
  template <typename Call>
  RequestLine called(std::string_view method, Call call) const;

  FoveaIf& service_;
  const RequestLogOptions options_;
};

}  // namespace fovea::api
