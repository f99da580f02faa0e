// A version's golden outputs: a few requests and the scores that the program which wrote the
// version gave them. Who loads the version computes them again, so that other arithmetic, another
// program or memory that lies is noticed before anybody is ranked by it. Owns goldens.json; the
// histories in it are drawn, never a user's, who could not be deleted from it.
#pragma once

#include <filesystem>
#include <string>

namespace fovea::engine {

struct Version;

/// How far a score may be from what the writer had.
inline constexpr double kGoldenTolerance = 1e-4;

/// The file's text. Requires a model. Throws std::runtime_error where a score is no finite number:
/// such a model must not be written.
std::string golden_outputs(const Version& version);

/// Throws VersionError naming the first score that differs from `file`'s.
void check_goldens(const Version& version, const std::filesystem::path& file);

}  // namespace fovea::engine
