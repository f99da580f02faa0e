#include "storage/exposures.h"

#include <fmt/format.h>

#include <limits>
#include <stdexcept>

#include "storage/keys.h"
#include "storage/state.h"
#include "storage/values.h"

namespace fovea::storage {

void Exposures::append(std::string_view user_id, const Exposure& exposure) {
  check_id(user_id, "user id");
  check_id(exposure.request_id, "request id");
  if (exposure.model_version.size() > std::numeric_limits<std::uint16_t>::max()) {
    throw std::invalid_argument("the model version of an exposure is longer than 65535 bytes");
  }
  rocksdb::WriteBatch batch;
  batch.Put(exposure_key(user_id, exposure.time_ms, exposure.request_id),
            encode_exposure(exposure.model_version, exposure.rows));
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
    exposures.push_back({std::string(key->request_id), key->time_ms,
                         std::move(value->model_version), std::move(value->rows)});
  }
  return exposures;
}

}  // namespace fovea::storage
