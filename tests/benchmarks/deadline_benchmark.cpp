// How late answers come after their deadline where reranking takes many times as long: a server in
// this process over a shop that really is that slow, asked by so many connections over sockets, one
// request at a time each. An answer later than a sleep of a millisecond is late by the machine's
// doing, so that lateness stands beside.
//   fovea_deadline [REQUESTS 500] [CONNECTIONS 1] [SHARE 10: of the reranking's time, one in so
//   many]
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/client.h"
#include "api/server.h"
#include "tests/slow_shop.h"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using fovea::api::Client;
using fovea::api::RankRequest;
using fovea::api::RankResponse;
using fovea::engine::SlowShop;

constexpr double kPromisedMs = 5;

double ms(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void print(const char* name, std::vector<double> times_ms) {
  std::ranges::sort(times_ms);
  const auto at = [&](double share) {
    const auto place = static_cast<std::size_t>(share * static_cast<double>(times_ms.size()));
    return times_ms.empty() ? 0 : times_ms[std::min(place, times_ms.size() - 1)];
  };
  std::printf("%-36s %6zu %8.2f %8.2f %8.2f\n", name, times_ms.size(), at(.5), at(.99), at(1));
}

struct Answers {
  std::mutex mutex;
  std::vector<double> late_ms;  // of lists; negative: early
  std::map<std::string, std::vector<double>> stages_ms;
  std::size_t whole = 0;    // not cut short
  std::size_t refused = 0;  // due before its turn
};

void ask(const fovea::api::HostPort& address, const RankRequest& request, std::size_t requests,
         Answers& answers) {
  Client client(address);
  for (std::size_t i = 0; i < requests; ++i) {
    const auto due = Clock::now() + std::chrono::milliseconds{request.deadline_ms};
    try {
      RankResponse response;
      client->rank(response, request);
      const double late = ms(Clock::now() - due);
      const std::lock_guard lock(answers.mutex);
      answers.late_ms.push_back(late);
      answers.whole += response.degraded ? 0 : 1;
      for (const auto& [stage, us] : response.stage_us) {
        answers.stages_ms[stage].push_back(static_cast<double>(us) / 1000);
      }
    } catch (const fovea::api::Overloaded&) {
      const std::lock_guard lock(answers.mutex);
      ++answers.refused;
    }
  }
}

std::size_t argument(int count, char** values, int at, std::size_t otherwise) {
  if (at >= count) return otherwise;
  std::size_t number = 0;
  const char* end = values[at] + std::strlen(values[at]);
  if (std::from_chars(values[at], end, number).ptr != end || number == 0) {
    throw std::invalid_argument(std::string(values[at]) + " is not a number above 0");
  }
  return number;
}

void run(int count, char** values) {
  const std::size_t requests = argument(count, values, 1, 500);
  const std::size_t connections = argument(count, values, 2, 1);
  const std::size_t share = argument(count, values, 3, 10);
  SlowShop shop;
  fovea::api::Server server(shop.engine(), {.port = 0});
  server.start();
  const fovea::api::HostPort address{"127.0.0.1", server.port()};

  RankRequest request;
  request.__set_user_id(SlowShop::kUser);
  request.__set_candidates(shop.items());
  std::vector<double> rerank_ms;
  {
    Client client(address);
    for (int i = 0; i < 9; ++i) {
      RankResponse response;
      client->rank(response, request);
      rerank_ms.push_back(static_cast<double>(response.stage_us.at("rerank")) / 1000);
    }
  }
  std::ranges::sort(rerank_ms);
  const double slow_ms = rerank_ms[rerank_ms.size() / 2];
  request.__set_deadline_ms(
      std::max<std::int32_t>(2, static_cast<std::int32_t>(slow_ms / static_cast<double>(share))));

  Answers answers;
  std::vector<double> sleeps_ms;
  {
    std::atomic<bool> stop = false;
    const std::jthread sleeping([&] {
      while (!stop) {
        const auto begin = Clock::now();
        std::this_thread::sleep_for(1ms);
        sleeps_ms.push_back(ms(Clock::now() - begin - 1ms));
      }
    });
    {
      std::vector<std::jthread> asking;
      for (std::size_t c = 0; c < connections; ++c) {
        asking.emplace_back([&] { ask(address, request, requests / connections, answers); });
      }
    }
    stop = true;
  }
  std::printf("reranking takes %.1f ms, the deadline is %d ms; %zu connections\n", slow_ms,
              request.deadline_ms, connections);
  std::printf("%-36s %6s %8s %8s %8s\n", "ms", "n", "p50", "p99", "most");
  print("answer, after its deadline", answers.late_ms);
  for (const auto& [stage, times_ms] : answers.stages_ms)
    print(("of which " + stage).c_str(), times_ms);
  print("a sleep of 1 ms, after its end", sleeps_ms);
  const auto kept =
      std::ranges::count_if(answers.late_ms, [](double l) { return l <= kPromisedMs; });
  std::printf(
      "%.2f %% within the deadline + %.0f ms; %zu not cut short, %zu due before their turn\n",
      100.0 * static_cast<double>(kept) / static_cast<double>(answers.late_ms.size()), kPromisedMs,
      answers.whole, answers.refused);
}

}  // namespace

int main(int count, char** values) {
  try {
    run(count, values);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fovea_deadline: %s\n", error.what());
    return 1;
  }
  return 0;
}
