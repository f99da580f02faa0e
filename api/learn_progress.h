// How the steps of a training are shown, by every command that trains in front of people.
#pragma once

#include <fmt/format.h>

#include "api/progress.h"
#include "engine/learning.h"

namespace fovea::api {

/// A bar where the step counts, else what the stage has come to.
inline void show(Progress& progress, const engine::LearnProgress& step) {
  if (step.of == 0) return progress.step(step.stage, step.message);
  progress.bar(fmt::format("{}: {}", step.stage, step.message), step.done, step.of);
}

}  // namespace fovea::api
