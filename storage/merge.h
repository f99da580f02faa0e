// How RocksDB folds what was merged under one key: a history takes in events in time order and
// keeps the newest, the count of users adds up. Owns no bytes of its own (keys.h).
#pragma once

#include <rocksdb/merge_operator.h>

#include <cstddef>
#include <deque>
#include <string>

namespace fovea::storage {

/// Associative: folding operands among themselves first gives the same history. Events are ordered
/// newest first, equal times newest arrival first, and cut to `history_events_max` at every fold.
/// A value that is no history (or no count) fails the read or compaction as corruption.
class StoreMerge : public rocksdb::MergeOperator {
 public:
  explicit StoreMerge(std::size_t history_events_max) : events_max_(history_events_max) {}

  const char* Name() const override { return "fovea.StoreMerge"; }
  bool FullMergeV2(const MergeOperationInput& in, MergeOperationOutput* out) const override;
  bool PartialMergeMulti(const rocksdb::Slice& key, const std::deque<rocksdb::Slice>& operands,
                         std::string* merged, rocksdb::Logger* logger) const override;

 private:
  std::size_t events_max_;
};

}  // namespace fovea::storage
