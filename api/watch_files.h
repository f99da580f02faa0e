// Files that a server reads again when they change: certificates, experiments. Owns when that is;
// what is read is the caller's.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <vector>

namespace fovea::api {

/// Looks at the files' times once a second, on the calling thread, until it is to stop. Calls
/// `changed` when the time of one is another than at the call before, or it came or went, and was
/// the same in two looks: who writes slowly is not read halfway. The first call, `first`, comes of
/// itself, since nobody knows what happened before the first look. An empty path is no file.
void watch_files(const std::vector<std::filesystem::path>& files, const std::stop_token& stop,
                 const std::function<void(bool first)>& changed);

}  // namespace fovea::api
