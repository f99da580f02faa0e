#include "storage/merge.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "storage/bytes.h"
#include "storage/keys.h"

namespace fovea::storage {
namespace {

bool newer(const PackedEvent& a, const PackedEvent& b) { return a.time_ms > b.time_ms; }

/// `operands` is oldest first, as RocksDB gives them; `existing` may be null.
template <typename Operands>
bool fold_history(const Operands& operands, const rocksdb::Slice* existing, std::size_t events_max,
                  std::string* folded) {
  std::vector<PackedEvent> arrived;
  for (auto operand = operands.rbegin(); operand != operands.rend(); ++operand) {
    const auto events = unpack_events(operand->ToStringView());
    if (!events) return false;
    arrived.insert(arrived.end(), events->begin(), events->end());
  }
  // Stable, and the newest arrival stands first: equal times stay in that order.
  std::stable_sort(arrived.begin(), arrived.end(), newer);
  std::vector<PackedEvent> kept;
  if (existing != nullptr) {
    auto stored = unpack_events(existing->ToStringView());
    if (!stored) return false;
    kept.swap(*stored);
  }
  std::vector<PackedEvent> all;
  all.reserve(arrived.size() + kept.size());
  std::merge(arrived.begin(), arrived.end(), kept.begin(), kept.end(), std::back_inserter(all),
             newer);
  folded->clear();
  folded->reserve(std::min(all.size(), events_max) * kPackedEventBytes);
  for (std::size_t i = 0; i < std::min(all.size(), events_max); ++i) pack_event(all[i], *folded);
  return true;
}

template <typename Operands>
bool fold_count(const Operands& operands, const rocksdb::Slice* existing, std::string* folded) {
  std::int64_t sum = 0;
  const auto add = [&sum](const rocksdb::Slice& bytes) {
    ByteReader reader(bytes.ToStringView());
    sum += reader.number<std::int64_t>();
    return reader.ended_well();
  };
  if (existing != nullptr && !add(*existing)) return false;
  if (!std::all_of(operands.begin(), operands.end(), add)) return false;
  folded->clear();
  append_number(*folded, sum);
  return true;
}

template <typename Operands>
bool fold(const rocksdb::Slice& key, const Operands& operands, const rocksdb::Slice* existing,
          std::size_t events_max, std::string* folded) {
  if (key.ToStringView() == kUsersKey) return fold_count(operands, existing, folded);
  if (key.starts_with(tag_begin(Tag::kHistory))) {
    return fold_history(operands, existing, events_max, folded);
  }
  return false;
}

}  // namespace

bool StoreMerge::FullMergeV2(const MergeOperationInput& in, MergeOperationOutput* out) const {
  return fold(in.key, in.operand_list, in.existing_value, events_max_, &out->new_value);
}

bool StoreMerge::PartialMergeMulti(const rocksdb::Slice& key,
                                   const std::deque<rocksdb::Slice>& operands, std::string* merged,
                                   rocksdb::Logger*) const {
  return fold(key, operands, nullptr, events_max_, merged);
}

}  // namespace fovea::storage
