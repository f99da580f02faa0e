// Every counter and histogram is made at the start and reached through an array, so that a request
// adds to atomic numbers and holds a histogram's lock for one addition only.
#include "api/measured_service.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>
#include <numeric>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::api {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;

enum Method {
  kRank,
  kRankMany,
  kRecord,
  kPutItems,
  kRemoveItems,
  kGetItems,
  kGetHistory,
  kDeleteUser,
  kStatus,
  kMethods
};
constexpr std::array<const char*, kMethods> kMethodNames = {"rank",       "rankMany",    "record",
                                                            "putItems",   "removeItems", "getItems",
                                                            "getHistory", "deleteUser",  "status"};

enum Result { kOk, kInvalid, kOverloaded, kUnavailable, kFailed, kResults };
constexpr std::array<const char*, kResults> kResultNames = {"ok", "invalid", "overloaded",
                                                            "unavailable", "failed"};

/// As RankedItem::source; the last one stands for what a later engine may add.
constexpr std::array<std::string_view, 6> kSources = {"vectors",   "words", "popular",
                                                      "candidate", "pin",   "other"};

/// As RankResponse::stage_us; a stage that a later engine adds is named here.
constexpr std::array<const char*, 4> kRankStages = {"history", "candidates", "rerank", "respond"};

/// Microseconds of one list, by stage.
using StageTimes = std::array<std::int64_t, kRankStages.size()>;

/// The newest lists' times. Thread-safe.
class RecentTimes {
 public:
  void add(const StageTimes& times) {
    const std::lock_guard lock(mutex_);
    if (times_.size() < kRecentLists) {
      times_.push_back(times);
    } else {
      times_[oldest_] = times;
      oldest_ = (oldest_ + 1) % kRecentLists;
    }
  }

  std::vector<StageTimes> copy() const {
    const std::lock_guard lock(mutex_);
    return times_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<StageTimes> times_;
  std::size_t oldest_ = 0;
};

/// Of at least one value, which are put in another order.
Percentiles percentiles(std::vector<std::int64_t>& values) {
  const auto at = [&](std::size_t percent) {
    const std::size_t rank = (values.size() * percent + 99) / 100;  // from 1
    const auto place = values.begin() + static_cast<std::ptrdiff_t>(rank - 1);
    std::nth_element(values.begin(), place, values.end());
    return *place;
  };
  return {at(50), at(99)};
}

/// Seconds. From a cached rank on few items to what nobody waits for, thrice per power of ten.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5};

/// One value with its labels.
ClientMetric labelled(std::vector<ClientMetric::Label> labels) {
  ClientMetric metric;
  metric.label = std::move(labels);
  return metric;
}

void add_gauge(std::vector<MetricFamily>& families, const char* name, const char* help,
               double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric = labelled(std::move(labels));
  metric.gauge.value = value;
  families.push_back({name, help, prometheus::MetricType::Gauge, {std::move(metric)}});
}

void add_status(std::vector<MetricFamily>& families, const Status& status) {
  add_gauge(families, "fovea_items", "Items of the catalogue.", static_cast<double>(status.items));
  add_gauge(families, "fovea_users", "Users with a stored history.",
            static_cast<double>(status.users));
  add_gauge(families, "fovea_uptime_seconds", "Since the start.",
            static_cast<double>(status.uptime_ms) / 1000);
  // A text has no value: by Prometheus' custom it is a label of a 1.
  add_gauge(families, "fovea_build_info", "What serves.", 1,
            {{"version", status.version}, {"device", status.device}});
  add_gauge(families, "fovea_model_info", "The model version that ranks; empty: none yet.", 1,
            {{"version", status.model_version}});
}

void add_ports(std::vector<MetricFamily>& families, std::span<const PortFigures> ports) {
  MetricFamily connections{
      "fovea_connections", "Open connections.", prometheus::MetricType::Gauge, {}};
  MetricFamily requests{"fovea_requests_in_flight",
                        "Requests being answered or waiting for a worker.",
                        prometheus::MetricType::Gauge,
                        {}};
  MetricFamily refused{"fovea_refused_requests_total",
                       "Requests answered with Overloaded before any method saw them.",
                       prometheus::MetricType::Counter,
                       {}};
  for (const PortFigures& port : ports) {
    auto& open = connections.metric.emplace_back(labelled({{"port", port.name}}));
    open.gauge.value = static_cast<double>(port.connections);
    auto& in_flight = requests.metric.emplace_back(labelled({{"port", port.name}}));
    in_flight.gauge.value = static_cast<double>(port.requests);
    auto& over = refused.metric.emplace_back(labelled({{"port", port.name}}));
    over.counter.value = static_cast<double>(port.refused);
  }
  families.push_back(std::move(connections));
  families.push_back(std::move(requests));
  families.push_back(std::move(refused));
}

void add_experiments(std::vector<MetricFamily>& families, const ExperimentFigures& experiments) {
  if (experiments.config_taken) {
    add_gauge(families, "fovea_config_last_reload_successful",
              "0: the configuration file as it is now was refused, and the experiments from before "
              "are served.",
              *experiments.config_taken ? 1 : 0);
  }
  if (experiments.exposures.empty()) return;
  MetricFamily exposures{"fovea_experiment_exposures_total",
                         "Lists written down as shown to units of an experiment.",
                         prometheus::MetricType::Counter,
                         {}};
  for (const engine::VariantExposures& of : experiments.exposures) {
    auto& count = exposures.metric.emplace_back(
        labelled({{"experiment", of.experiment}, {"variant", of.variant}}));
    count.counter.value = static_cast<double>(of.exposures);
  }
  families.push_back(std::move(exposures));
}

}  // namespace

struct MeasuredService::Metrics {
  Metrics();

  void count_list(const RankResponse& response);

  /// Calls, and counts how it ended.
  template <typename Call>
  auto measure(Method method, Call call) {
    struct Timer {
      Metrics& metrics;
      Method method;
      Result result = kFailed;
      std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
      ~Timer() {
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        metrics.requests[method][result]->Increment();
        metrics.seconds[method]->Observe(took.count());
      }
    } timer{*this, method};
    try {
      if constexpr (std::is_void_v<decltype(call())>) {
        call();
        timer.result = kOk;
      } else {
        auto answer = call();
        timer.result = kOk;
        return answer;
      }
    } catch (const InvalidRequest&) {
      timer.result = kInvalid;
      throw;
    } catch (const Overloaded&) {
      timer.result = kOverloaded;
      throw;
    } catch (const Unavailable&) {
      timer.result = kUnavailable;
      throw;
    }
  }

  prometheus::Registry registry;
  std::array<std::array<prometheus::Counter*, kResults>, kMethods> requests{};
  std::array<prometheus::Histogram*, kMethods> seconds{};
  std::array<prometheus::Counter*, kSources.size()> ranked_items{};
  prometheus::Counter* lists = nullptr;
  prometheus::Counter* degraded_lists = nullptr;
  std::array<prometheus::Histogram*, kRankStages.size()> stage_seconds{};
  RecentTimes recent;
};

MeasuredService::Metrics::Metrics() {
  auto& counted = prometheus::BuildCounter()
                      .Name("fovea_requests_total")
                      .Help("Calls of the contract's methods, over every port.")
                      .Register(registry);
  auto& timed = prometheus::BuildHistogram()
                    .Name("fovea_request_seconds")
                    .Help("From the arguments read to the answer made.")
                    .Register(registry);
  for (std::size_t method = 0; method < kMethods; ++method) {
    for (std::size_t result = 0; result < kResults; ++result) {
      requests[method][result] =
          &counted.Add({{"method", kMethodNames[method]}, {"result", kResultNames[result]}});
    }
    seconds[method] = &timed.Add({{"method", kMethodNames[method]}}, kSeconds);
  }
  lists = &prometheus::BuildCounter()
               .Name("fovea_lists_total")
               .Help("Ranked lists that were answered.")
               .Register(registry)
               .Add({});
  degraded_lists = &prometheus::BuildCounter()
                        .Name("fovea_degraded_lists_total")
                        .Help("Ranked lists of which a stage was cut short or replaced.")
                        .Register(registry)
                        .Add({});
  auto& stages = prometheus::BuildHistogram()
                     .Name("fovea_stage_seconds")
                     .Help("Of ranked lists, by the four steps of a ranking.")
                     .Register(registry);
  for (std::size_t stage = 0; stage < kRankStages.size(); ++stage) {
    stage_seconds[stage] = &stages.Add({{"stage", kRankStages[stage]}}, kSeconds);
  }
  auto& sources = prometheus::BuildCounter()
                      .Name("fovea_ranked_items_total")
                      .Help("Items in ranked lists, by source; popular is the fallback.")
                      .Register(registry);
  for (std::size_t source = 0; source < kSources.size(); ++source) {
    ranked_items[source] = &sources.Add({{"source", std::string(kSources[source])}});
  }
}

void MeasuredService::Metrics::count_list(const RankResponse& response) {
  lists->Increment();
  if (response.degraded) degraded_lists->Increment();
  StageTimes times{};
  for (std::size_t i = 0; i < kRankStages.size(); ++i) {
    const auto stage = response.stage_us.find(kRankStages[i]);
    if (stage == response.stage_us.end()) continue;
    times[i] = stage->second;
    stage_seconds[i]->Observe(static_cast<double>(stage->second) / 1e6);
  }
  recent.add(times);
  std::array<std::size_t, kSources.size()> counts{};
  for (const RankedItem& item : response.items) {
    const auto* source = std::find(kSources.begin(), kSources.end() - 1, item.source);
    ++counts[static_cast<std::size_t>(source - kSources.begin())];
  }
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) ranked_items[i]->Increment(static_cast<double>(counts[i]));
  }
}

MeasuredService::MeasuredService(FoveaIf& service)
    : service_(service), metrics_(std::make_unique<Metrics>()) {}

MeasuredService::~MeasuredService() = default;

void MeasuredService::rank(RankResponse& response, const RankRequest& request) {
  metrics_->measure(kRank, [&] { service_.rank(response, request); });
  metrics_->count_list(response);
}

void MeasuredService::rankMany(std::vector<RankResponse>& responses,
                               const std::vector<RankRequest>& requests) {
  metrics_->measure(kRankMany, [&] { service_.rankMany(responses, requests); });
  for (const RankResponse& response : responses) metrics_->count_list(response);
}

std::int32_t MeasuredService::record(const std::vector<Event>& events) {
  return metrics_->measure(kRecord, [&] { return service_.record(events); });
}

std::int32_t MeasuredService::putItems(const std::vector<Item>& items) {
  return metrics_->measure(kPutItems, [&] { return service_.putItems(items); });
}

std::int32_t MeasuredService::removeItems(const std::vector<std::string>& item_ids) {
  return metrics_->measure(kRemoveItems, [&] { return service_.removeItems(item_ids); });
}

void MeasuredService::getItems(std::vector<Item>& items, const std::vector<std::string>& item_ids) {
  metrics_->measure(kGetItems, [&] { service_.getItems(items, item_ids); });
}

void MeasuredService::getHistory(std::vector<Event>& events, const std::string& user_id,
                                 std::int32_t limit) {
  metrics_->measure(kGetHistory, [&] { service_.getHistory(events, user_id, limit); });
}

void MeasuredService::deleteUser(const std::string& user_id) {
  metrics_->measure(kDeleteUser, [&] { service_.deleteUser(user_id); });
}

void MeasuredService::status(Status& status) {
  metrics_->measure(kStatus, [&] { service_.status(status); });
}

ServiceFigures MeasuredService::figures() const {
  // First: a list is counted before its times are kept, so that no more have times than there were.
  const std::vector<StageTimes> times = metrics_->recent.copy();
  ServiceFigures figures;
  for (std::size_t method = 0; method < kMethods; ++method) {
    const auto count = [&](Result result) {
      return static_cast<std::uint64_t>(metrics_->requests[method][result]->Value());
    };
    figures.methods.push_back({kMethodNames[method], count(kOk), count(kInvalid),
                               count(kOverloaded), count(kUnavailable), count(kFailed)});
  }
  figures.lists = static_cast<std::uint64_t>(metrics_->lists->Value());
  figures.degraded_lists = static_cast<std::uint64_t>(metrics_->degraded_lists->Value());
  figures.recent_lists = times.size();
  if (times.empty()) return figures;
  std::vector<std::int64_t> values(times.size());
  const auto of = [&](const auto& value) {
    std::ranges::transform(times, values.begin(), value);
    return percentiles(values);
  };
  figures.total = of([](const StageTimes& list) {
    return std::accumulate(list.begin(), list.end(), std::int64_t{0});
  });
  for (std::size_t i = 0; i < kRankStages.size(); ++i) {
    figures.stages[kRankStages[i]] = of([i](const StageTimes& list) { return list[i]; });
  }
  return figures;
}

std::string MeasuredService::metrics_text(std::span<const PortFigures> ports,
                                          const ExperimentFigures& experiments) {
  Status status;
  service_.status(status);  // not a request of anybody's, so not counted
  std::vector<MetricFamily> families = metrics_->registry.Collect();
  add_status(families, status);
  add_ports(families, ports);
  add_experiments(families, experiments);
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

}  // namespace fovea::api
