#include "storage/exposures.h"

#include <fmt/format.h>

#include <limits>
#include <stdexcept>

#include "storage/keys.h"
#include "storage/state.h"
#include "storage/values.h"

namespace fovea::storage {
namespace {

void check_trials(const Exposure& exposure) {
  constexpr std::size_t kMax = std::numeric_limits<std::uint16_t>::max();
  if (exposure.rows.size() > kMax || exposure.trials.size() > kMax) {
    throw std::invalid_argument("an exposure has more than 65535 items or trials");
  }
  for (const Trial& trial : exposure.trials) {
    check_id(trial.experiment, "experiment name");
    check_id(trial.variant, "variant name");
    for (const std::size_t n : {trial.propensities.size(), trial.teams.size()}) {
      if (n != 0 && n != exposure.rows.size()) {
        throw std::invalid_argument("a trial says something of another number of items than shown");
      }
    }
  }
}

}  // namespace

void Exposures::append(std::string_view user_id, const Exposure& exposure) {
  check_id(user_id, "user id");
  check_id(exposure.request_id, "request id");
  if (exposure.model_version.size() > std::numeric_limits<std::uint16_t>::max()) {
    throw std::invalid_argument("the model version of an exposure is longer than 65535 bytes");
  }
  check_trials(exposure);
  rocksdb::WriteBatch batch;
  batch.Put(exposure_key(Tag::kExposure, user_id, exposure.time_ms, exposure.request_id),
            encode_exposure(exposure.model_version, exposure.rows));
  if (!exposure.trials.empty()) {
    batch.Put(exposure_key(Tag::kTrial, user_id, exposure.time_ms, exposure.request_id),
              encode_trials(exposure));
  }
  state_.rocks.write(batch);
}

std::vector<Exposure> Exposures::read(std::string_view user_id, std::size_t limit) const {
  std::vector<Exposure> exposures;
  if (user_id.size() > kIdBytesMax) return exposures;
  const std::string prefix = user_prefix(Tag::kExposure, user_id);
  for (Scan scan(state_.rocks, prefix, prefix_end(prefix));
       exposures.size() < limit && scan.valid(); scan.next()) {
    const auto key = parse_exposure_key(scan.key());
    auto value = decode_exposure(scan.value());
    if (!key || !value) {
      throw state_.rocks.damaged(fmt::format("an exposure of user {}", user_id));
    }
    exposures.push_back({std::string(key->request_id),
                         key->time_ms,
                         std::move(value->model_version),
                         std::move(value->rows),
                         {}});
  }
  return exposures;
}

void Exposures::each_in_trials(
    const std::function<void(std::string_view user_id, Exposure exposure)>& take) const {
  for (Scan scan(state_.rocks, tag_begin(Tag::kTrial), tag_end(Tag::kTrial)); scan.valid();
       scan.next()) {
    const auto key = parse_exposure_key(scan.key());
    auto exposure = decode_trials(scan.value());
    if (!key || !exposure) throw state_.rocks.damaged("an exposure that was part of experiments");
    exposure->request_id = key->request_id;
    exposure->time_ms = key->time_ms;
    take(key->user_id, std::move(*exposure));
  }
}

}  // namespace fovea::storage
