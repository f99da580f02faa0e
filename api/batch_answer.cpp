#include "api/batch_answer.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <exception>
#include <stdexcept>

#include "api/json.h"
#include "api/wire.h"
#include "api/wire_json.h"
#include "engine/files.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kRequestIdDigits = 32;  // as online: 128 bits in hexadecimal

std::string request_id(const BatchRun& run, const AskedLine& line) {
  return engine::sha256(
             fmt::format("{}\n{}\n{}\n{}", run.model_version, run.now_ms, line.number, line.text))
      .substr(0, kRequestIdDigits);
}

/// A cell of RFC 4180: in quotes where it has to be.
std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char byte : text) {
    if (byte == '"') quoted += '"';
    quoted += byte;
  }
  return quoted + '"';
}

std::string rows(const RankRequest& request, const RankResponse& response) {
  const std::string user = request.__isset.user_id ? cell(request.user_id) : "";
  std::string text;
  std::size_t place = 0;
  for (const RankedItem& ranked : response.items) {
    text += fmt::format("{},{},{},{}\n", user, ++place, cell(ranked.item_id), ranked.score);
  }
  return text;
}

AnsweredLine refused(const BatchRun& run, const AskedLine& line, const std::string& field,
                     const std::string& message) {
  AnsweredLine answered{line.number, "", message};
  if (run.format == BatchFormat::kCsv) return answered;
  json::object error;
  if (!field.empty()) error["field"] = field;
  error["message"] = message;
  answered.text =
      json::serialize(json::object{{"line", line.number}, {"error", std::move(error)}}) + '\n';
  return answered;
}

RankRequest read(const AskedLine& line) {
  if (line.too_long) {
    throw engine::InvalidRequest(
        "", fmt::format("this is longer than the {} bytes that are allowed", kJsonBytesMax));
  }
  RankRequest request = rank_request_from_json(parse_object(line.text, kBodyDepthMax));
  if (request.__isset.deadline_ms) {
    static_cast<void>(from_wire(request));  // a deadline out of range is refused here too
    request.__isset.deadline_ms = false;
  }
  return request;
}

}  // namespace

std::string_view head(BatchFormat format) {
  return format == BatchFormat::kCsv ? "user,rank,item,score\n" : "";
}

AnsweredLine answer(FoveaIf& service, const BatchRun& run, const AskedLine& line) {
  try {
    const RankRequest request = read(line);
    RankResponse response;
    service.rank(response, request);
    if (run.format == BatchFormat::kCsv) return {line.number, rows(request, response), ""};
    response.request_id = request_id(run, line);
    response.stage_us.clear();
    return {line.number, json::serialize(to_json(response)) + '\n', ""};
  } catch (const engine::InvalidRequest& error) {
    return refused(run, line, error.field, error.what());
  } catch (const InvalidRequest& error) {
    return refused(run, line, error.field, error.message);
  } catch (const Unavailable& error) {
    throw std::runtime_error(fmt::format("line {}: {}", line.number, error.message));
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("line {}: {}", line.number, error.what()));
  }
}

}  // namespace fovea::api
