// A file that a flag names and that is written when the work is done.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace fovea::api {

class OutputFile {
 public:
  /// Opens it, so that a path that cannot be written is told before the work and not after it:
  /// std::invalid_argument, which names the flag.
  OutputFile(std::string flag, std::filesystem::path path);

  /// All of it, once. Throws std::runtime_error when it could not be written to its end.
  void write(std::string_view content);

 private:
  std::string flag_;
  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace fovea::api
