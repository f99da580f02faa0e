// What was declared of each experiment, as text, kept beside the exposures that it explains: who
// reads a copied data directory needs no configuration file. Owns the bytes; what the text says is
// the caller's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fovea::storage {

struct Declaration {
  std::string name;
  std::string text;
};

/// Obtained from Db; thread-safe.
class Declarations {
 public:
  /// Replaces what was kept under the name; durable (synced) when it returns. Throws
  /// std::invalid_argument for a name that is empty or longer than kIdBytesMax.
  void put(std::string_view name, std::string_view text);

  /// In the names' order of bytes.
  std::vector<Declaration> read() const;

  struct State;
  explicit Declarations(State& state) : state_(state) {}

 private:
  State& state_;
};

}  // namespace fovea::storage
