// The contract's methods on an engine: wire structs to engine structs and back, and the one table
// of errors. Owns no bytes and no threads.
#pragma once

#include <fovea_wire/Fovea.h>

#include <chrono>

#include "engine/engine.h"

namespace fovea::api {

/// Thread-safe. Methods throw InvalidRequest and Unavailable as the contract declares them;
/// whatever else they throw is a fault of ours.
class Handler final : public FoveaIf {
 public:
  /// The engine must outlive the handler. `deadline_default` is a request's that names none; 0:
  /// none.
  explicit Handler(engine::Engine& engine, std::chrono::milliseconds deadline_default = {})
      : engine_(engine), deadline_default_(deadline_default) {}

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

 private:
  engine::RankRequest convert(const RankRequest& request) const;

  engine::Engine& engine_;
  const std::chrono::milliseconds deadline_default_;
};

}  // namespace fovea::api
