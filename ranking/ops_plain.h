// The plain bodies of ops.h: loops as the formulas stand, no threads, no tricks. They prove the
// fast ones and are used by nothing else.
#pragma once

#include "ranking/ops.h"

namespace fovea::ranking::ops::plain {

#include "ranking/ops_each.h"
decltype(ops::dot) dot;

}  // namespace fovea::ranking::ops::plain
