// The bodies of ops.h that run: cpu:: on the host, cuda:: on a device. Only ops.cpp chooses, and
// only tests call one by name.
#pragma once

#include "ranking/ops.h"

namespace fovea::ranking::ops::cpu {
#include "ranking/ops_each.h"
}  // namespace fovea::ranking::ops::cpu

namespace fovea::ranking::ops::cuda {
#include "ranking/ops_each.h"  // NOLINT(readability-duplicate-include): once in each namespace
}  // namespace fovea::ranking::ops::cuda
