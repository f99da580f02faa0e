// Numbers and strings to bytes and back. Owns bounds: a reader never reads past its bytes, it says
// afterwards that it would have had to. What the bytes mean is keys and values.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace fovea::storage {

template <typename T>
void append_number(std::string& bytes, T number) {
  static_assert(std::is_arithmetic_v<T>);
  char raw[sizeof(T)];
  std::memcpy(raw, &number, sizeof(T));
  bytes.append(raw, sizeof(T));
}

/// Led by its length, as a `Length`; the caller has checked that it fits.
template <typename Length>
void append_text(std::string& bytes, std::string_view text) {
  append_number(bytes, static_cast<Length>(text.size()));
  bytes.append(text);
}

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  /// 0 where the bytes have run out.
  template <typename T>
  T number() {
    const std::string_view raw = take(sizeof(T));
    T number{};
    if (ok_) raw.copy(reinterpret_cast<char*>(&number), sizeof(T));
    return number;
  }

  /// Into the bytes; empty where they have run out.
  template <typename Length>
  std::string_view text() {
    return take(number<Length>());
  }

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) ok_ = false;
    if (!ok_) return {};
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::size_t left() const { return rest_.size(); }
  bool ok() const { return ok_; }                           ///< Nothing was missing so far.
  bool ended_well() const { return ok_ && rest_.empty(); }  ///< Nothing missing, nothing left.

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace fovea::storage
