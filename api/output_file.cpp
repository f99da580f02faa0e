// See output_file.h.
#include "api/output_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace fovea::api {

OutputFile::OutputFile(std::string flag, std::filesystem::path path)
    : flag_(std::move(flag)), path_(std::move(path)), file_(path_, std::ios::binary) {
  if (!file_) {
    throw std::invalid_argument(
        fmt::format("{}: {} cannot be written: {}", flag_, path_.string(), std::strerror(errno)));
  }
}

void OutputFile::write(std::string_view content) {
  if (!(file_ << content).flush()) {
    throw std::runtime_error(fmt::format("{}: {} could not be written to its end: {}", flag_,
                                         path_.string(), std::strerror(errno)));
  }
}

}  // namespace fovea::api
