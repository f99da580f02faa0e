// The estimate: how many stand before, times what one takes.
#include "api/admission.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea::api {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

/// What the latest request counts in the mean: a change is taken in within some tens of requests.
constexpr double kLatest = 0.05;
/// One that takes long counts no more than so many means: a rare one says nothing of the others.
constexpr double kMeansMax = 10;
/// Before so many have been measured nobody waits too long: the first find everything cold.
constexpr std::size_t kMeasuredMin = 20;

}  // namespace

Admission::Duration Admission::wait() const {
  if (requests_ < options_.workers || measured_ < kMeasuredMin) return Duration::zero();
  const std::size_t before = requests_ - options_.workers + 1;
  return duration_cast<Duration>(mean_ * static_cast<double>(before) /
                                 static_cast<double>(options_.workers));
}

std::optional<Admission::Refusal> Admission::enter() {
  const Duration expected = wait();
  const auto retry_after = std::max(milliseconds{1}, std::chrono::ceil<milliseconds>(expected));
  if (requests_ >= options_.requests_max) {
    return Refusal{fmt::format("{} requests are being answered or waiting, the limit", requests_),
                   retry_after};
  }
  if (options_.wait_max.count() > 0 && expected > options_.wait_max) {
    return Refusal{
        fmt::format("a request would wait {} ms for its turn; {} ms is the limit",
                    std::chrono::ceil<milliseconds>(expected).count(), options_.wait_max.count()),
        retry_after};
  }
  ++requests_;
  return std::nullopt;
}

void Admission::leave(std::optional<Duration> worked) {
  --requests_;
  if (!worked) return;
  const std::chrono::duration<double, std::nano> latest(*worked);
  if (++measured_ <= kMeasuredMin) {
    mean_ += (latest - mean_) / static_cast<double>(measured_);
  } else {
    mean_ = mean_ * (1 - kLatest) + std::min(latest, mean_ * kMeansMax) * kLatest;
  }
}

}  // namespace fovea::api
