// A store copied while another process writes to it: one view of every key, and new tables made of
// what is in that view. Owns the copy's bytes; where it lies until it is whole is the caller's
// decision.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

namespace fovea::storage {

class Rocks;

/// The store as it was at one moment: all that was acknowledged before the constructor was called,
/// of every write all or nothing, and nothing later, however long the object lives. Its files are
/// held open, so that its writer may compact and delete them; their space is free once the object
/// is gone. One thread at a time.
class StoreCopy {
 public:
  /// Throws StoreError: no store there, damaged, of another format.
  explicit StoreCopy(const std::filesystem::path& directory);
  ~StoreCopy();
  StoreCopy(const StoreCopy&) = delete;
  StoreCopy& operator=(const StoreCopy&) = delete;

  /// About what a copy takes on the disk.
  std::uint64_t bytes() const;

  struct Figures {
    std::uint64_t keys = 0;
    std::uint64_t bytes = 0;  ///< Of the new tables.
  };
  /// Makes a store in `folder`, an empty directory, durable when this returns; it holds no key that
  /// had been deleted. `told` is given the keys so far and about how many there are. Throws
  /// StoreError: the view cannot be read, or the folder not be written; it may then hold half of
  /// the keys and is the caller's to remove.
  Figures write(const std::filesystem::path& folder,
                const std::function<void(std::uint64_t done, std::uint64_t of)>& told) const;

 private:
  std::unique_ptr<Rocks> rocks_;
};

}  // namespace fovea::storage
