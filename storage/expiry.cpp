#include "storage/expiry.h"

#include <chrono>

#include "storage/keys.h"

namespace fovea::storage {

rocksdb::CompactionFilter::Decision ExposureExpiry::FilterV2(int, const rocksdb::Slice& key,
                                                             ValueType, const rocksdb::Slice&,
                                                             std::string*, std::string*) const {
  const bool trial = key.starts_with(tag_begin(Tag::kTrial));
  if (!trial && !key.starts_with(tag_begin(Tag::kExposure))) return Decision::kKeep;
  const std::uint32_t days_max = trial ? trial_days_max_ : exposure_days_max_;
  if (days_max == 0) return Decision::kKeep;
  const auto exposure = parse_exposure_key(key.ToStringView());
  if (!exposure) return Decision::kKeep;
  const auto oldest = std::chrono::system_clock::now() - std::chrono::days(days_max);
  const auto oldest_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(oldest.time_since_epoch()).count();
  return exposure->time_ms < oldest_ms ? Decision::kRemove : Decision::kKeep;
}

}  // namespace fovea::storage
