#include "index/index_file.h"

#include <faiss/impl/io.h>
#include <faiss/index_io.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>

namespace fovea::index {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian");

constexpr std::uint64_t kMagic =
    0x3158444941455646;  // "FVEAIDX1": the last character is the format's version

// Stands before the rows [rows] and Faiss' bytes. The checksum covers both and the number of rows.
struct Frame {
  std::uint64_t magic = kMagic;
  std::uint64_t checksum = 0;
  std::uint64_t rows = 0;
};

// FNV-1a (Fowler, Noll, Vo): any single changed byte changes it. Faiss' reader trusts the sizes in
// its input, so it must not see bytes that a disk has damaged. It does not protect against a
// forger: whoever publishes an index keeps a cryptographic hash of the file and compares before
// loading.
std::uint64_t checksum(std::uint64_t rows, std::span<const char> bytes) {
  std::uint64_t hash = 0xCBF29CE484222325 ^ rows;
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
  }
  return hash;
}

}  // namespace

void write_file(const std::filesystem::path& file, const faiss::Index& index,
                std::span<const std::uint32_t> rows) try {
  faiss::VectorIOWriter writer;
  writer(rows.data(), sizeof(std::uint32_t), rows.size());
  faiss::write_index(&index, &writer);
  const std::span bytes(reinterpret_cast<const char*>(writer.data.data()), writer.data.size());
  Frame frame;
  frame.rows = rows.size();
  frame.checksum = checksum(frame.rows, bytes);
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(&frame), sizeof frame);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.flush();
  if (!out) throw std::runtime_error(std::strerror(errno));
} catch (const std::exception& error) {
  throw std::runtime_error(file.string() + " could not be written: " + error.what());
}

StoredIndex read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error(std::strerror(errno));
  const std::uint64_t size = std::filesystem::file_size(file);
  Frame frame;
  if (size < sizeof frame || !in.read(reinterpret_cast<char*>(&frame), sizeof frame) ||
      frame.magic != kMagic) {
    throw std::runtime_error("it does not begin as one of this version does");
  }
  faiss::VectorIOReader reader;
  reader.data.resize(size - sizeof frame);
  in.read(reinterpret_cast<char*>(reader.data.data()),
          static_cast<std::streamsize>(reader.data.size()));
  const std::span bytes(reinterpret_cast<const char*>(reader.data.data()), reader.data.size());
  if (!in || frame.checksum != checksum(frame.rows, bytes) ||
      frame.rows > bytes.size() / sizeof(std::uint32_t)) {
    throw std::runtime_error("it is truncated or damaged");
  }
  StoredIndex stored;
  stored.rows.resize(frame.rows);
  reader(stored.rows.data(), sizeof(std::uint32_t), frame.rows);
  stored.index.reset(faiss::read_index(&reader));
  if (reader.rp != reader.data.size()) throw std::runtime_error("it goes on after its end");
  if (static_cast<std::uint64_t>(stored.index->ntotal) != frame.rows || stored.index->d <= 0 ||
      stored.index->metric_type != faiss::METRIC_INNER_PRODUCT) {
    throw std::runtime_error("its vectors do not belong to its rows");
  }
  return stored;
}

}  // namespace fovea::index
