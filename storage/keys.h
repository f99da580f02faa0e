// The byte format of the store: every key and every fixed-width value, documented before it is coded.
// Owns layout only; reading and writing is db, history, catalog and exposures.
#pragma once

#include <cstdint>

namespace fovea::storage {

/// Written under the key "format" when a store is created. A store of another number is refused.
inline constexpr std::uint32_t kFormatVersion = 1;

/// Longest item id, user id, action, event id or request id, in bytes.
inline constexpr std::size_t kIdBytesMax = 512;

}  // namespace fovea::storage
