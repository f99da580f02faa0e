// An index as one file: our frame with the rows and a checksum, Faiss' own bytes inside. Private to
// index/.
#pragma once

#include <faiss/Index.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace fovea::index {

struct StoredIndex {
  std::unique_ptr<faiss::Index> index;
  std::vector<std::uint32_t> rows;
};

/// Throws std::runtime_error naming the file.
void write_file(const std::filesystem::path& file, const faiss::Index& index,
                std::span<const std::uint32_t> rows);

/// Throws std::runtime_error without the file's name. Holds the file's bytes and the index at once
/// while it reads.
StoredIndex read_file(const std::filesystem::path& file);

}  // namespace fovea::index
