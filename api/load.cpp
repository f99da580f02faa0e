// One timer for the next request that is due; whoever is due and whoever is answered looks for what
// can be sent.
#include "api/load.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cmath>
#include <deque>
#include <optional>
#include <utility>

namespace fovea::api {
namespace {

using Clock = std::chrono::steady_clock;

Clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

double processor_s(int whose) {
  rusage usage{};
  ::getrusage(whose, &usage);
  const auto in_seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return in_seconds(usage.ru_utime) + in_seconds(usage.ru_stime);
}

class Run {
 public:
  Run(Target& target, Workload& workload, const LoadOptions& options)
      : target_(target),
        workload_(workload),
        arrivals_(options.rate_per_s, options.seed),
        timer_(target.io()),
        begin_(Clock::now()),
        measured_from_(begin_ + to_duration(options.warm_up_s)),
        measured_until_(measured_from_ + to_duration(options.seconds)),
        drained_at_(measured_until_ + to_duration(options.drain_s_max)),
        next_due_(begin_ + arrivals_.next()) {
    result_.rate_per_s = options.rate_per_s;
    for (std::size_t slot = 0; slot < target.slots(); ++slot) free_.push_back(slot);
  }

  LoadResult operator()() {
    wait_or_end();
    target_.io().restart();
    target_.io().run();  // until nothing is due, waiting or under way
    finish();
    return std::move(result_);
  }

 private:
  /// Nothing more is due: what is unanswered has until the end of the drain.
  bool all_due() const { return next_due_ >= measured_until_; }
  bool counted(Clock::time_point due) const { return due >= measured_from_; }

  void wait() {
    timer_.expires_at(all_due() ? drained_at_ : next_due_);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      if (all_due()) {
        give_up();
      } else {
        take_up();
        wait_or_end();
      }
    });
  }

  void wait_or_end() {
    if (!all_due() || !waiting_.empty() || under_way_ > 0) wait();
  }

  void take_up() {
    for (; !all_due(); next_due_ = begin_ + arrivals_.next()) {
      const auto now = Clock::now();
      if (next_due_ > now) break;
      if (counted(next_due_)) {
        if (result_.due++ == 0) {
          process_before_s_ = processor_s(RUSAGE_SELF);
          generator_before_s_ = processor_s(RUSAGE_THREAD);
        }
        result_.lateness.record(now - next_due_);
        if (free_.empty()) ++result_.queued;
      }
      waiting_.push_back(next_due_);
      send();
    }
  }

  void send() {
    while (!waiting_.empty() && !free_.empty()) {
      const auto due = waiting_.front();
      waiting_.pop_front();
      // Slots take turns, so that no connection idles until the server closes it.
      const std::size_t slot = free_.front();
      free_.pop_front();
      ++under_way_;
      Call call = workload_.next();
      const auto sent = Clock::now();
      target_.begin(slot, std::move(call), [this, due, sent, slot](Answer answer) {
        --under_way_;
        free_.push_back(slot);
        if (given_up_) answer.outcome = Outcome::kUnanswered;
        count(due, answer);
        if (counted(due) && answer.outcome == Outcome::kOverloaded) {
          result_.refusal.record(answer.at - sent);
        }
        send();
        if (all_due() && waiting_.empty() && under_way_ == 0) timer_.cancel();
      });
    }
  }

  void give_up() {
    given_up_ = true;
    const Answer never{.outcome = Outcome::kUnanswered,
                       .message = "the load ended before it was sent",
                       .at = Clock::now()};
    for (const auto due : std::exchange(waiting_, {})) count(due, never);
    target_.abandon();
  }

  void count(Clock::time_point due, const Answer& answer) {
    if (!counted(due)) return;
    ++result_.outcomes[static_cast<std::size_t>(answer.outcome)];
    result_.degraded += answer.degraded ? 1 : 0;
    if (answer.outcome == Outcome::kAnswered || answer.outcome == Outcome::kUnanswered) {
      result_.latency.record(answer.at - due);
    }
    if (answer.outcome == Outcome::kAnswered) {
      last_answer_ = std::max(last_answer_, answer.at);
    } else if (result_.first_failure.empty()) {
      result_.first_failure = answer.message;
    }
  }

  void finish() {
    if (result_.due > 0) {
      result_.processor_s = processor_s(RUSAGE_SELF) - process_before_s_;
      result_.generator_s = processor_s(RUSAGE_THREAD) - generator_before_s_;
    }
    const double measured_s = seconds(std::max(last_answer_, measured_until_) - measured_from_);
    result_.answered_per_s = static_cast<double>(result_.of(Outcome::kAnswered)) / measured_s;
  }

  Target& target_;
  Workload& workload_;
  Arrivals arrivals_;
  boost::asio::steady_timer timer_;
  Clock::time_point begin_, measured_from_, measured_until_, drained_at_, next_due_;
  std::deque<Clock::time_point> waiting_;  // when they were due
  std::deque<std::size_t> free_;
  std::size_t under_way_ = 0;
  bool given_up_ = false;
  Clock::time_point last_answer_{};
  double process_before_s_ = 0, generator_before_s_ = 0;
  LoadResult result_;
};

}  // namespace

std::chrono::nanoseconds Arrivals::next() {
  at_s_ -= std::log(1 - random_.uniform()) / rate_per_s_;
  return to_duration(at_s_);
}

LoadResult run_load(Target& target, Workload& workload, const LoadOptions& options) {
  return Run(target, workload, options)();
}

}  // namespace fovea::api
