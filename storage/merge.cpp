#include "storage/merge.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "storage/bytes.h"
#include "storage/keys.h"

namespace fovea::storage {
namespace {

/// Puts what arrived earlier behind what arrived later, and both by time. False: not a history.
bool take_in(std::vector<PackedEvent>& later, std::string_view earlier, std::size_t events_max) {
  const auto events = unpack_events(earlier);
  if (!events) return false;
  std::vector<PackedEvent> all;
  all.reserve(later.size() + events->size());
  // Stable, `later` first: equal times stay in order of arrival.
  std::merge(later.begin(), later.end(), events->begin(), events->end(), std::back_inserter(all),
             [](const PackedEvent& a, const PackedEvent& b) { return a.time_ms > b.time_ms; });
  all.resize(std::min(all.size(), events_max));
  later.swap(all);
  return true;
}

/// `operands` is oldest first, as RocksDB gives them; `existing` may be null.
template <typename Operands>
bool fold_history(const Operands& operands, const rocksdb::Slice* existing, std::size_t events_max,
                  std::string* folded) {
  std::vector<PackedEvent> history;
  for (auto operand = operands.rbegin(); operand != operands.rend(); ++operand) {
    if (!take_in(history, operand->ToStringView(), events_max)) return false;
  }
  if (existing != nullptr && !take_in(history, existing->ToStringView(), events_max)) return false;
  folded->clear();
  folded->reserve(history.size() * kPackedEventBytes);
  for (const PackedEvent& event : history) pack_event(event, *folded);
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
