// One call into the engine per method, each under the table of errors.
#include "api/handler.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "api/call.h"
#include "api/wire.h"

namespace fovea::api {
namespace {

/// Who was in the queue past their deadline is not to be back at once.
constexpr std::int32_t kRetryAfterDeadlineMs = 50;

InvalidRequest invalid(std::string field, std::string message) {
  InvalidRequest wire;
  wire.field = std::move(field);
  wire.message = std::move(message);
  return wire;
}

Unavailable unavailable(std::string message) {
  Unavailable wire;
  wire.message = std::move(message);
  return wire;
}

/// The one table: what the engine throws, and what the caller is told. Anything else goes through
/// and is answered as an internal error.
template <typename Call>
auto with_wire_errors(Call&& call) {
  try {
    return call();
  } catch (const engine::InvalidRequest& error) {
    throw invalid(error.field, error.what());
  } catch (const engine::DeadlinePassed& error) {
    Overloaded overloaded;
    overloaded.message = error.what();
    overloaded.retry_after_ms = kRetryAfterDeadlineMs;
    throw overloaded;
  } catch (const engine::Unavailable& error) {
    spdlog::warn("answered unavailable: {}", error.what());
    throw unavailable(error.what());
  } catch (const storage::StoreError& error) {
    spdlog::error("answered unavailable: {}", error.what());
    throw unavailable(error.what());
  }
}

}  // namespace

engine::RankRequest Handler::convert(const RankRequest& request) const {
  engine::RankRequest converted = from_wire(request);
  const auto within = request.__isset.deadline_ms ? std::chrono::milliseconds{request.deadline_ms}
                                                  : deadline_default_;
  if (within.count() > 0) converted.deadline = {CurrentCall::received(), within};
  return converted;
}

void Handler::rank(RankResponse& response, const RankRequest& request) {
  with_wire_errors([&] { response = to_wire(engine_.rank(convert(request))); });
}

void Handler::rankMany(std::vector<RankResponse>& responses,
                       const std::vector<RankRequest>& requests) {
  with_wire_errors([&] {
    std::vector<engine::RankRequest> converted;
    converted.reserve(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      try {
        converted.push_back(convert(requests[i]));
      } catch (const engine::InvalidRequest& error) {
        throw engine::InvalidRequest(fmt::format("requests[{}].{}", i, error.field), error.what());
      }
    }
    auto answered = engine_.rank_many(converted);
    responses.reserve(answered.size());
    for (auto& response : answered) responses.push_back(to_wire(std::move(response)));
  });
}

std::int32_t Handler::record(const std::vector<Event>& events) {
  return with_wire_errors([&] {
    std::vector<engine::Event> converted;
    converted.reserve(events.size());
    for (const Event& event : events) converted.push_back(from_wire(event));
    return engine_.record(converted);
  });
}

std::int32_t Handler::putItems(const std::vector<Item>& items) {
  return with_wire_errors([&] {
    std::vector<engine::Item> converted;
    converted.reserve(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      converted.push_back(from_wire(items[i], fmt::format("items[{}].", i)));
    }
    return engine_.put_items(converted);
  });
}

std::int32_t Handler::removeItems(const std::vector<std::string>& item_ids) {
  return with_wire_errors([&] { return engine_.remove_items(item_ids); });
}

void Handler::getItems(std::vector<Item>& items, const std::vector<std::string>& item_ids) {
  with_wire_errors([&] {
    for (auto& item : engine_.get_items(item_ids)) items.push_back(to_wire(std::move(item)));
  });
}

void Handler::getHistory(std::vector<Event>& events, const std::string& user_id,
                         std::int32_t limit) {
  with_wire_errors([&] {
    for (auto& event : engine_.get_history(user_id, limit)) {
      events.push_back(to_wire(std::move(event)));
    }
  });
}

void Handler::deleteUser(const std::string& user_id) {
  with_wire_errors([&] { engine_.delete_user(user_id); });
}

void Handler::status(Status& status) {
  with_wire_errors([&] { status = to_wire(engine_.status()); });
}

}  // namespace fovea::api
