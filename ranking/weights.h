// Named arrays in a safetensors file (https://huggingface.co/docs/safetensors): 8 bytes of header
// length, a JSON header, raw little-endian data. Owns the bytes and every check on them; what the
// arrays mean is their owners'.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::ranking {

/// The file is truncated, damaged, oversized or not what it should be; the message names file and
/// array.
struct WeightsError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Weights {
 public:
  using Shape = std::vector<std::size_t>;

  void put(std::string name, Shape shape, std::vector<float> values);
  void put_ids(std::string name, std::vector<std::uint32_t> values);  // dtype U32, one dimension
  void put_bytes(std::string name, std::string bytes);                // dtype U8, one dimension

  bool has(std::string_view name) const;
  const Shape& shape(std::string_view name) const;
  /// Throw WeightsError when the array is missing, of another type, or of another shape (where one
  /// is given).
  std::span<const float> floats(std::string_view name) const;
  std::span<const float> floats(std::string_view name, const Shape& shape) const;
  std::span<const std::uint32_t> ids(std::string_view name) const;
  std::string_view bytes(std::string_view name) const;

  std::map<std::string, std::string>& metadata() { return metadata_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// Written to a temporary file beside it, synced, then renamed: a reader sees the old file or the
  /// new one.
  void save(const std::filesystem::path& file) const;
  /// Refuses anything that is not exactly one safetensors file: header beyond the file, overlapping
  /// or missing ranges, lengths that do not match shapes, bytes left over, non-finite floats.
  /// Allocates no more than the file's size and its parsed header.
  static Weights load(const std::filesystem::path& file);

 private:
  struct Array {
    std::string dtype;  // F32, U32, U8, or I64, which is kept as bytes and not asked for
    Shape shape;
    std::vector<float> floats;
    std::vector<std::uint32_t> ids;
    std::string bytes;
  };
  const Array& array(std::string_view name, std::string_view dtype) const;

  std::map<std::string, Array, std::less<>> arrays_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace fovea::ranking
