// Which exposures compaction leaves out. Owns the age limit; the key's layout is keys.h.
#pragma once

#include <rocksdb/compaction_filter.h>

#include <cstdint>
#include <string>

namespace fovea::storage {

class ExposureExpiry : public rocksdb::CompactionFilter {
 public:
  /// 0 keeps all.
  ExposureExpiry(std::uint32_t exposure_days_max, std::uint32_t trial_days_max)
      : exposure_days_max_(exposure_days_max), trial_days_max_(trial_days_max) {}

  const char* Name() const override { return "fovea.ExposureExpiry"; }
  Decision FilterV2(int level, const rocksdb::Slice& key, ValueType type,
                    const rocksdb::Slice& value, std::string* new_value,
                    std::string* skip_until) const override;

 private:
  std::uint32_t exposure_days_max_;
  std::uint32_t trial_days_max_;
};

}  // namespace fovea::storage
