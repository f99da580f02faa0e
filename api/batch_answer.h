// One line of a batch: a rank request read as POST /v1/rank reads it, answered by the service, and
// written as a line that another run would write again. Owns what is different offline; knows no
// file and no thread.
#pragma once

#include <fovea_wire/Fovea.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "api/ordered_work.h"

namespace fovea::api {

enum class BatchFormat {
  kJsonLines,  ///< A RankResponse a line; {"line":N,"error":{...}} in the place of a bad one.
  kCsv,        ///< user,rank,item,score; a bad line has no rows, a request without a user no user.
};

/// What, beside a line, its answer follows from.
struct BatchRun {
  BatchFormat format = BatchFormat::kJsonLines;
  std::int64_t now_ms = 0;
  std::string model_version;  ///< Empty: there is none.
};

/// The first line of the output, with its end; empty where there is none.
std::string_view head(BatchFormat format);

/// Thread-safe where the service is. What of an online answer says when and by whom it was given
/// is as follows: request_id is a digest of the line, its number, the clock and the version;
/// stage_us is empty; a deadline_ms is checked and not kept, since nobody waits. Throws
/// std::runtime_error, a sentence with the line's number, where the service fails: the line is not
/// to blame, and an error in its place would stay there.
AnsweredLine answer(FoveaIf& service, const BatchRun& run, const AskedLine& line);

}  // namespace fovea::api
