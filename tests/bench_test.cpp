// The load generator: what is sent, when it is due, and that nothing which went wrong or came late
// is left out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio.hpp>
#include <chrono>
#include <cmath>
#include <future>
#include <latch>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "api/bench_report.h"
#include "api/load.h"
#include "api/server.h"
#include "api/workload.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Population population(std::size_t users) {
  Population made;
  for (std::size_t i = 0; i < users; ++i) made.users.push_back("user-" + std::to_string(i));
  made.items = {"item-1", "item-2"};
  made.actions = {"view"};
  made.queries = {"old red lamp", "new chair"};
  return made;
}

std::vector<nanoseconds> arrivals(double rate, std::uint64_t seed, std::size_t count) {
  Arrivals stream(rate, seed);
  std::vector<nanoseconds> times;
  for (std::size_t i = 0; i < count; ++i) times.push_back(stream.next());
  return times;
}

/// How many a load of these options has due.
std::size_t due_of(const LoadOptions& options) {
  Arrivals stream(options.rate_per_s, options.seed);
  std::size_t count = 0;
  while (std::chrono::duration<double>(stream.next()).count() < options.seconds) ++count;
  return count;
}

TEST(Arrivals, TheSameSeedGivesTheSameSchedule) {
  EXPECT_EQ(arrivals(100, 1, 1000), arrivals(100, 1, 1000));
  EXPECT_NE(arrivals(100, 1, 1000), arrivals(100, 2, 1000));
}

TEST(Arrivals, GapsAreExponentialWithTheRatesMean) {
  constexpr std::size_t kCount = 200'000;
  const auto times = arrivals(250, 7, kCount);
  EXPECT_TRUE(std::ranges::is_sorted(times));
  double sum = 0;
  double squares = 0;
  std::size_t long_ones = 0;
  for (std::size_t i = 1; i < kCount; ++i) {
    const double gap_ms =
        std::chrono::duration<double, std::milli>(times[i] - times[i - 1]).count();
    sum += gap_ms;
    squares += gap_ms * gap_ms;
    long_ones += gap_ms > 4 ? 1 : 0;
  }
  const double mean = sum / (kCount - 1);
  EXPECT_NEAR(mean, 4, 0.04);
  EXPECT_NEAR(squares / (kCount - 1) - mean * mean, 16, 0.5);
  EXPECT_NEAR(static_cast<double>(long_ones) / kCount, std::exp(-1), 0.01);
}

TEST(LatencyHistogram, EveryPercentileIsWithinAThousandth) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.at_us(0.99), 0U);
  for (std::int64_t us = 1; us <= 1'000'000; us += 7)
    histogram.record(std::chrono::microseconds{us});
  EXPECT_EQ(histogram.count(), 142'858U);
  for (const double share : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const double exact = 1 + 7 * (std::ceil(share * 142'858) - 1);
    EXPECT_GE(static_cast<double>(histogram.at_us(share)), exact);
    EXPECT_LE(static_cast<double>(histogram.at_us(share)), exact * 1.001);
  }
  EXPECT_EQ(histogram.at_us(0), 1U);
  EXPECT_EQ(histogram.at_us(1), 1'000'000U);
  EXPECT_EQ(histogram.most_us(), 1'000'000U);
}

TEST(LatencyHistogram, WhatIsOutOfRangeIsCountedAtItsEnds) {
  LatencyHistogram histogram;
  histogram.record(milliseconds{-5});
  histogram.record(std::chrono::hours{100});
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.at_us(0.5), 0U);
  EXPECT_EQ(histogram.at_us(1), static_cast<std::uint64_t>(LatencyHistogram::kMost.count()));
}

TEST(Workload, EachSendsWhatItsNameSays) {
  const Population shop = population(1000);
  const auto ranking = [](const Call& call) { return std::get<RankRequest>(call); };

  Workload rank(shop, {.name = "rank"});
  for (int i = 0; i < 100; ++i) {
    const RankRequest request = ranking(rank.next());
    EXPECT_THAT(shop.users, testing::Contains(request.user_id));
    EXPECT_FALSE(request.__isset.filter || request.__isset.query);
  }
  Workload filtered(shop, {.name = "filtered", .filter = "price < 10"});
  const RankRequest under_filter = ranking(filtered.next());
  EXPECT_EQ(under_filter.filter, "price < 10");
  EXPECT_TRUE(under_filter.__isset.user_id);

  Workload search(shop, {.name = "search"});
  std::set<std::string> queries;
  for (int i = 0; i < 100; ++i) {
    const RankRequest request = ranking(search.next());
    EXPECT_THAT(shop.users, testing::Contains(request.user_id));
    EXPECT_FALSE(request.__isset.filter);
    queries.insert(request.query);
  }
  EXPECT_THAT(queries, ElementsAre("new chair", "old red lamp"));
  Workload searched(shop, {.name = "search", .filter = "price < 10"});
  EXPECT_EQ(ranking(searched.next()).filter, "price < 10");
  Population nobody = shop;
  nobody.users.clear();
  Workload catalogue(nobody, {.name = "search"});
  EXPECT_FALSE(ranking(catalogue.next()).__isset.user_id);
  Workload told(shop, {.name = "search", .query = "a lamp"});
  EXPECT_EQ(ranking(told.next()).query, "a lamp");

  Workload batch(shop, {.name = "batch"});
  EXPECT_EQ(std::get<std::vector<RankRequest>>(batch.next()).size(), kRequestsPerBatch);

  Workload record(shop, {.name = "record"});
  const auto events = std::get<std::vector<Event>>(record.next());
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].action, "view");
  EXPECT_THAT(shop.items, testing::Contains(events[0].item_id));
  EXPECT_THAT(shop.users, testing::Contains(events[0].user_id));
}

TEST(Workload, MixedIsTenRankingsToABehaviour) {
  const Population shop = population(10);
  Workload mixed(shop, {.name = "mixed"});
  for (int i = 0; i < 110; ++i) {
    EXPECT_EQ(std::holds_alternative<RankRequest>(mixed.next()), i % 11 != 10) << i;
  }
}

TEST(Workload, UsersComeByZipfsLawAndWithTheSeed) {
  const Population shop = population(1000);
  const auto drawn = [&](std::uint64_t seed) {
    Workload workload(shop, {.name = "rank", .seed = seed});
    std::vector<std::string> users;
    for (int i = 0; i < 100'000; ++i)
      users.push_back(std::get<RankRequest>(workload.next()).user_id);
    return users;
  };
  const auto users = drawn(3);
  EXPECT_EQ(users, drawn(3));
  EXPECT_NE(users, drawn(4));
  std::map<std::string, double> counts;
  for (const auto& user : users) ++counts[user];
  EXPECT_EQ(counts.size(), 1000U);  // the rarest too
  EXPECT_NEAR(counts["user-0"] / 100'000, std::log(2) / std::log(1001), 0.01);
  EXPECT_NEAR(counts["user-0"] / counts["user-9"], std::log(2) / std::log(11.0 / 10), 1);
}

TEST(Workload, OptionsThatContradictItAreRefused) {
  const Population shop = population(10);
  const auto refused = [&](const WorkloadOptions& options) -> std::string {
    try {
      Workload workload(shop, options);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "(accepted)";
  };
  EXPECT_THAT(refused({.name = "rnk"}), HasSubstr("'rnk'"));
  EXPECT_THAT(refused({.name = "filtered"}), HasSubstr("needs a filter"));
  EXPECT_THAT(refused({.name = "rank", .filter = "a = 1"}),
              HasSubstr("choose the workload filtered or search"));
  EXPECT_THAT(refused({.name = "rank", .query = "lamp"}), HasSubstr("choose the workload search"));
  Population without = population(0);
  EXPECT_THROW(Workload(without, {.name = "rank"}), std::runtime_error);
  without = population(1);
  without.actions.clear();
  EXPECT_THROW(Workload(without, {.name = "mixed"}), std::runtime_error);
  without.queries.clear();
  EXPECT_THROW(Workload(without, {.name = "search"}), std::runtime_error);
}

/// A service that answers when the test lets it.
class Gate : public FoveaNull {
 public:
  void rank(RankResponse& response, const RankRequest&) override {
    ++arrived;
    arrived.notify_all();
    open.wait();
    response.degraded = false;
  }

  std::atomic<std::size_t> arrived{0};
  std::latch open{1};
};

/// Behind a server or called directly: a load must not tell them apart.
class Load : public testing::TestWithParam<bool> {
 protected:
  Target& target(FoveaIf& service, std::size_t slots) {
    if (GetParam()) {
      target_ = call_target(service, slots);
    } else {
      server_.emplace(service, ServerOptions{.port = 0, .threads = 4});
      server_->start();
      target_ = connect_target({"127.0.0.1", server_->port()}, slots);
    }
    return *target_;
  }

 private:
  std::optional<Server> server_;
  std::unique_ptr<Target> target_;
};

TEST_P(Load, ALatencyCountsFromWhenTheRequestWasDue) {
  constexpr milliseconds kLeast{50};
  const LoadOptions options{.rate_per_s = 2000, .seconds = 0.2, .drain_s_max = 600};
  const std::size_t due = due_of(options);
  Gate gate;
  const Population shop = population(10);
  Workload workload(shop, {});
  Target& slow = target(gate, 2);
  auto load = std::async(std::launch::async, [&] { return run_load(slow, workload, options); });
  gate.arrived.wait(0);
  // The first has arrived, so this long from now all are due since kLeast.
  std::this_thread::sleep_for(milliseconds{200} + kLeast);
  EXPECT_LE(gate.arrived, 2U);
  gate.open.count_down();
  const LoadResult result = load.get();

  EXPECT_EQ(result.due, due);
  EXPECT_EQ(result.of(Outcome::kAnswered), due);
  EXPECT_EQ(result.queued, due - 2);
  // Two were sent before the gate opened. Whoever counts from when a request is sent finds the
  // others fast.
  EXPECT_EQ(result.latency.count(), due);
  EXPECT_GE(result.latency.at_us(0), 50'000U);
}

/// Fails in turn in every way that the contract knows.
class Faulty : public FoveaNull {
 public:
  void rank(RankResponse& response, const RankRequest&) override {
    switch (count++ % 6) {
      case 0: {
        Overloaded error;
        error.message = "too much";
        throw error;
      }
      case 1: {
        InvalidRequest error;
        error.message = "limit is 0";
        throw error;
      }
      case 2: {
        Unavailable error;
        error.message = "no disk";
        throw error;
      }
      case 3:
        throw std::runtime_error("a fault");
      case 4:
        response.degraded = true;
        break;
      default:
        break;
    }
  }

  std::atomic<std::size_t> count{0};
};

TEST_P(Load, FailuresAreCountedByKindAndLeftOutOfLatencies) {
  const LoadOptions options{.rate_per_s = 3000, .seconds = 0.2, .drain_s_max = 600, .seed = 5};
  Faulty faulty;
  const Population shop = population(10);
  Workload workload(shop, {});
  const LoadResult result = run_load(target(faulty, 4), workload, options);
  const std::size_t due = due_of(options);
  EXPECT_EQ(faulty.count, due);
  const auto in_turn = [&](std::size_t turn) { return due / 6 + (due % 6 > turn ? 1 : 0); };
  EXPECT_EQ(result.of(Outcome::kOverloaded), in_turn(0));
  EXPECT_EQ(result.of(Outcome::kInvalid), in_turn(1));
  EXPECT_EQ(result.of(Outcome::kUnavailable), in_turn(2));
  EXPECT_EQ(result.of(Outcome::kFault), in_turn(3));
  EXPECT_EQ(result.of(Outcome::kAnswered), in_turn(4) + in_turn(5));
  EXPECT_EQ(result.degraded, in_turn(4));
  EXPECT_EQ(result.latency.count(), result.of(Outcome::kAnswered));
  EXPECT_EQ(result.refusal.count(), result.of(Outcome::kOverloaded));
  EXPECT_EQ(result.failed(), due - result.of(Outcome::kAnswered));
  EXPECT_EQ(result.lateness.count(), due);
  EXPECT_FALSE(kept(result, 1e6));
}

/// Counts what comes in, and reads it.
class Counting : public FoveaNull {
 public:
  void rank(RankResponse&, const RankRequest& request) override {
    ++ranks;
    filters += request.filter == "year > 2000" ? 1 : 0;
  }
  void rankMany(std::vector<RankResponse>& responses,
                const std::vector<RankRequest>& requests) override {
    ++batches;
    responses.resize(requests.size());
    responses.back().degraded = true;
  }
  std::int32_t record(const std::vector<Event>& events) override {
    records += events.size();
    return 1;
  }

  std::atomic<std::size_t> ranks{0}, filters{0}, batches{0}, records{0};
};

TEST_P(Load, EveryWorkloadArrivesAsItWasDrawn) {
  const LoadOptions options{.rate_per_s = 1100, .seconds = 0.1, .drain_s_max = 600};
  const std::size_t due = due_of(options);
  Counting counting;
  Target& there = target(counting, 4);
  const Population shop = population(10);
  Workload mixed(shop, {.name = "mixed"});
  EXPECT_EQ(run_load(there, mixed, options).of(Outcome::kAnswered), due);
  EXPECT_EQ(counting.records, due / 11);
  EXPECT_EQ(counting.ranks, due - due / 11);
  EXPECT_EQ(counting.filters, 0U);

  Workload filtered(shop, {.name = "filtered", .filter = "year > 2000"});
  EXPECT_EQ(run_load(there, filtered, options).of(Outcome::kAnswered), due);
  EXPECT_EQ(counting.filters, due);

  Workload batch(shop, {.name = "batch"});
  const LoadResult batches = run_load(there, batch, options);
  EXPECT_EQ(counting.batches, due);
  EXPECT_EQ(batches.degraded, due);
  EXPECT_TRUE(kept(batches, 1e6));
}

TEST_P(Load, TheWarmUpIsSentAndNotCounted) {
  LoadOptions options{.rate_per_s = 1000, .seconds = 0.2, .drain_s_max = 600};
  const std::size_t all = due_of(options);
  options.seconds = 0.1;
  const std::size_t warm_up = due_of(options);
  options.warm_up_s = 0.1;
  Counting counting;
  const Population shop = population(10);
  Workload workload(shop, {});
  const LoadResult result = run_load(target(counting, 4), workload, options);
  EXPECT_EQ(counting.ranks, all);
  EXPECT_EQ(result.due, all - warm_up);
  EXPECT_EQ(result.latency.count(), all - warm_up);
}

INSTANTIATE_TEST_SUITE_P(Targets, Load, testing::Bool(), [](const auto& of) {
  return of.param ? "CalledDirectly" : "OverSockets";
});

TEST(LoadOverSockets, AConnectionThatEndsIsALostRequestAndMadeAgain) {
  // Takes a connection, reads a request's first bytes and closes.
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  std::atomic<std::size_t> taken = 0;
  std::jthread server([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      tcp::socket socket(io);
      boost::system::error_code error;
      acceptor.accept(socket, error);
      std::array<char, 4> bytes{};
      asio::read(socket, asio::buffer(bytes), error);
      if (!error) ++taken;
    }
  });
  const LoadOptions options{.rate_per_s = 200, .seconds = 0.2, .drain_s_max = 600};
  const Population shop = population(10);
  Workload workload(shop, {});
  const auto target = connect_target({"127.0.0.1", acceptor.local_endpoint().port()}, 2);
  const LoadResult result = run_load(*target, workload, options);
  server.request_stop();
  tcp::socket last(io);
  last.connect(acceptor.local_endpoint());
  last.close();
  server.join();
  EXPECT_EQ(result.due, due_of(options));
  EXPECT_EQ(result.of(Outcome::kLost), result.due);
  EXPECT_EQ(taken, result.due);
  EXPECT_EQ(result.latency.count(), 0U);
  EXPECT_EQ(result.answered_per_s, 0);
}

TEST(LoadOverSockets, WhatIsNotAnsweredInTheEndCountsAsFarAsItCame) {
  LoadOptions options{.rate_per_s = 500, .seconds = 0.1, .drain_s_max = 0.1};
  Gate gate;
  Server server(gate, {.port = 0, .threads = 4});
  server.start();
  const Population shop = population(10);
  Workload workload(shop, {});
  const auto target = connect_target({"127.0.0.1", server.port()}, 3);
  const LoadResult result = run_load(*target, workload, options);
  gate.open.count_down();
  EXPECT_EQ(result.due, due_of(options));
  EXPECT_GT(result.due, 3U);
  EXPECT_EQ(result.of(Outcome::kUnanswered), result.due);
  EXPECT_EQ(result.latency.count(), result.due);
  EXPECT_GE(result.latency.at_us(0), 100'000U);  // the drain
  EXPECT_THAT(result.first_failure, Not(testing::IsEmpty()));

  // The target serves the next load.
  options.drain_s_max = 600;
  EXPECT_EQ(run_load(*target, workload, options).of(Outcome::kAnswered), result.due);
}

TEST(LoadOverSockets, ASentenceSaysThatNobodyAnswers) {
  std::uint16_t port = 0;
  {
    asio::io_context io;
    port = tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
  }
  try {
    connect_target({"127.0.0.1", port}, 1);
    FAIL() << "somebody answered";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no server answers at 127.0.0.1:" + std::to_string(port)));
  }
}

LoadResult measured(double rate, milliseconds latency) {
  LoadResult result;
  result.rate_per_s = rate;
  result.due = 100;
  result.outcomes[static_cast<std::size_t>(Outcome::kAnswered)] = 100;
  for (int i = 0; i < 100; ++i) result.latency.record(latency);
  return result;
}

TEST(BenchReport, TheHighestRateIsOneThatKeptTheBoundAndLostNothing) {
  BenchReport report;
  report.p99_max_ms = 25;
  EXPECT_EQ(highest_kept(report), std::nullopt);
  EXPECT_THAT(verdict(report), HasSubstr("No rate"));
  report.rates = {measured(100, milliseconds{5}), measured(400, milliseconds{8}),
                  measured(200, milliseconds{5}), measured(800, milliseconds{26})};
  EXPECT_EQ(highest_kept(report), 400);
  EXPECT_THAT(verdict(report), HasSubstr("400 requests a second"));
  auto& answered = report.rates[1].outcomes[static_cast<std::size_t>(Outcome::kAnswered)];
  --answered;
  ++report.rates[1].outcomes[static_cast<std::size_t>(Outcome::kOverloaded)];
  EXPECT_EQ(highest_kept(report), 200);
  EXPECT_THAT(table_row(report.rates[1]), HasSubstr("1 overloaded"));
}

TEST(BenchReport, ThePageAndTheJsonNameMachineDataAndSeed) {
  BenchReport report;
  report.cores = 3;
  report.processor = "A <fast> one";
  report.target = "somewhere";
  report.status.items = 1234;
  report.status.users = 567;
  report.status.version = "0.1.0";
  report.status.device = "cpu";
  report.workload = {.name = "filtered", .filter = "price < \"x\"", .seed = 42};
  report.seconds = 10;
  report.p99_max_ms = 25;
  report.rates = {measured(100, milliseconds{5}), measured(125, milliseconds{30})};
  const std::string page = bench_page(report);
  for (const char* part : {"A &lt;fast> one", "1234", "567", "<dt>seed</dt><dd>42</dd>",
                           "price &lt; &quot;x&quot;", "p99 at most 25 ms", "<svg"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  for (const char* foreign : {"http", "<script", "<link", "<img", "url(", "nan", "inf"}) {
    EXPECT_THAT(page, Not(HasSubstr(foreign)));
  }
  const std::string json = bench_json(report);
  for (const char* part : {R"("cores":3)", R"("items":1234)", R"("users":567)", R"("seed":42)",
                           R"("kept":true)", R"("kept":false)", R"("p99.9":5000)"}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
  report.rates.clear();
  EXPECT_THAT(bench_page(report), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace fovea::api
