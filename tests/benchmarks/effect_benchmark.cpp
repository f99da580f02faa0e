// From a recorded behaviour to the list that shows it, while others ask for lists: a server in this
// process over a copy of a trained store, Poisson arrivals of rank requests (open loop: a request's
// time counts from when it was due, not from when it was sent), and one client that records a
// behaviour, has it acknowledged, and asks for the list in which it must have had its effect.
//   fovea_effect DATA [RATE 500] [SECONDS 30] [SEED 1]
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/client.h"
#include "api/server.h"
#include "engine/engine.h"
#include "ranking/random.h"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using fovea::api::Client;
using fovea::api::RankRequest;
using fovea::api::RankResponse;

constexpr std::size_t kClients = 32;  // connections; as many requests may be under way
constexpr auto kBetweenRecords = 50ms;
constexpr auto kWarmUp = 2s;

double ms(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void print(const char* name, std::vector<double> times_ms) {
  std::ranges::sort(times_ms);
  const auto at = [&](double share) {
    const auto place = static_cast<std::size_t>(share * static_cast<double>(times_ms.size()));
    return times_ms.empty() ? 0 : times_ms[std::min(place, times_ms.size() - 1)];
  };
  std::printf("%-34s %8zu %8.2f %8.2f %8.2f %8.2f\n", name, times_ms.size(), at(.5), at(.99),
              at(.999), at(1));
}

std::vector<std::string> users_of(fovea::engine::Engine& engine) {
  std::vector<std::string> users;
  engine.db().history().for_each_user(
      [&](std::string_view user, auto) { users.emplace_back(user); });
  return users;
}

/// Which users ask is by Zipf's law, the first most.
const std::string& drawn(const std::vector<std::string>& users, fovea::ranking::Random& random) {
  const double share = static_cast<double>(random.below(1U << 30)) / (1U << 30);
  const double place = std::pow(static_cast<double>(users.size()), share) - 1;
  return users[std::min(static_cast<std::size_t>(place), users.size() - 1)];
}

RankRequest request_of(const std::string& user) {
  RankRequest request;
  request.__set_user_id(user);
  return request;
}

struct Load {
  std::vector<Clock::time_point> due;
  std::vector<std::string> users;
  std::atomic<std::size_t> next = 0;
  std::vector<double> times_ms;  // by request
  std::atomic<std::size_t> failed = 0;
};

void send(Load& load, const fovea::api::HostPort& address) {
  Client client(address);
  for (std::size_t i = load.next++; i < load.due.size(); i = load.next++) {
    std::this_thread::sleep_until(load.due[i]);
    try {
      RankResponse response;
      client->rank(response, request_of(load.users[i]));
      load.times_ms[i] = ms(Clock::now() - load.due[i]);
    } catch (const std::exception&) {
      ++load.failed;
    }
  }
}

struct Effects {
  std::vector<double> record_ms, effect_ms;
  std::size_t missing = 0;
};

void record_and_look(const std::vector<std::string>& users, const fovea::api::HostPort& address,
                     Clock::time_point until, std::uint64_t seed, Effects& effects) {
  Client client(address);
  fovea::ranking::Random random(seed + 1);
  while (Clock::now() < until) {
    std::this_thread::sleep_for(kBetweenRecords);
    const RankRequest request = request_of(users[random.below(users.size())]);
    RankResponse before;
    client->rank(before, request);
    if (before.items.empty()) continue;
    fovea::api::Event event;
    event.user_id = request.user_id;
    event.item_id = before.items.front().item_id;
    event.action = "view";
    const auto begin = Clock::now();
    client->record({event});
    const auto acknowledged = Clock::now();
    RankResponse after;
    client->rank(after, request);
    effects.effect_ms.push_back(ms(Clock::now() - acknowledged));
    effects.record_ms.push_back(ms(acknowledged - begin));
    // What the user has acted on is not shown again: the effect that leaves no doubt.
    for (const auto& item : after.items) effects.missing += item.item_id == event.item_id ? 1 : 0;
  }
}

template <typename Number>
Number argument(int count, char** values, int at, Number otherwise) {
  if (at >= count) return otherwise;
  Number number{};
  const char* end = values[at] + std::strlen(values[at]);
  if (std::from_chars(values[at], end, number).ptr != end) {
    throw std::invalid_argument(std::string(values[at]) + " is not a number");
  }
  return number;
}

void run(int count, char** values) {
  if (count < 2) throw std::invalid_argument("fovea_effect DATA [RATE] [SECONDS] [SEED]");
  const double rate = argument(count, values, 2, 500.0);
  const auto seconds = argument(count, values, 3, 30.0);
  const auto seed = argument<std::uint64_t>(count, values, 4, 1);
  const auto engine = fovea::engine::Engine::open(values[1]);
  engine->declare_action("view", 1);
  fovea::api::Server server(*engine, {.port = 0});
  server.start();
  const fovea::api::HostPort address{"127.0.0.1", server.port()};

  const auto users = users_of(*engine);
  if (users.empty()) throw std::runtime_error("the store has no users");
  fovea::ranking::Random random(seed);
  Load load;
  const auto begin = Clock::now() + 200ms;
  double at_s = 0;
  while (at_s < seconds + std::chrono::duration<double>(kWarmUp).count()) {
    at_s -= std::log(1 - static_cast<double>(random.below(1U << 30)) / (1U << 30)) / rate;
    load.due.push_back(
        begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at_s)));
    load.users.push_back(drawn(users, random));
  }
  load.times_ms.resize(load.due.size());
  Effects effects;
  {
    std::vector<std::jthread> threads;
    for (std::size_t c = 0; c < kClients; ++c) threads.emplace_back([&] { send(load, address); });
    std::this_thread::sleep_until(begin + kWarmUp);
    record_and_look(users, address, load.due.back(), seed, effects);
  }
  server.stop();

  const auto status = engine->status();
  std::printf("%lld items, %lld users, %.0f rank requests a second for %.0f s, seed %llu\n",
              static_cast<long long>(status.items), static_cast<long long>(status.users), rate,
              seconds, static_cast<unsigned long long>(seed));
  std::printf("%-34s %8s %8s %8s %8s %8s\n", "ms", "n", "p50", "p99", "p99.9", "most");
  const auto warm = std::ranges::lower_bound(load.due, begin + kWarmUp) - load.due.begin();
  print("rank, from when it was due", {load.times_ms.begin() + warm, load.times_ms.end()});
  print("record, to its acknowledgement", effects.record_ms);
  print("acknowledgement to the list", effects.effect_ms);
  std::printf("%zu requests failed, %zu effects were missing\n", load.failed.load(),
              effects.missing);
  if (effects.missing > 0) throw std::runtime_error("an acknowledged behaviour had no effect");
}

}  // namespace

int main(int count, char** values) {
  try {
    run(count, values);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fovea_effect: %s\n", error.what());
    return 1;
  }
  return 0;
}
