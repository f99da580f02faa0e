#include "storage/store_copy.h"

#include <limits>

#include "storage/rocks.h"

namespace fovea::storage {
namespace {

// A copy cuts no history, whatever the server that writes the store keeps.
const DbOptions kEverything{.history_events_max = std::numeric_limits<std::uint32_t>::max(),
                            .exposure_days_max = 0,
                            .trial_days_max = 0};

}  // namespace

StoreCopy::StoreCopy(const std::filesystem::path& directory)
    : rocks_(Rocks::open(directory, Access::kReadOnly, kEverything)) {}

StoreCopy::~StoreCopy() = default;

std::uint64_t StoreCopy::bytes() const { return rocks_->bytes(); }

StoreCopy::Figures StoreCopy::write(
    const std::filesystem::path& folder,
    const std::function<void(std::uint64_t done, std::uint64_t of)>& told) const {
  return rocks_->copy_to(folder, kEverything, told);
}

}  // namespace fovea::storage
