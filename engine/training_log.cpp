#include "engine/training_log.h"

#include <boost/json.hpp>

namespace fovea::engine {

namespace json = boost::json;

std::string to_jsonl(std::span<const ranking::TrainProgress> epochs) {
  std::string text;
  for (const auto& epoch : epochs) {
    json::object line{{"stage", epoch.stage}, {"epoch", epoch.epoch}, {"loss", epoch.loss}};
    if (epoch.validation_ndcg_10) line["validation_ndcg@10"] = *epoch.validation_ndcg_10;
    line["seconds"] = epoch.seconds;
    line["best_epoch"] = epoch.best_epoch;
    text += json::serialize(line) + "\n";
  }
  return text;
}

std::vector<ranking::TrainProgress> parse_jsonl(std::string_view text) {
  std::vector<ranking::TrainProgress> epochs;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line_text = text.substr(0, end);
    const json::value parsed = json::parse({line_text.data(), line_text.size()});
    const json::object& line = parsed.as_object();
    ranking::TrainProgress epoch;
    epoch.stage = line.at("stage").as_string();
    epoch.epoch = line.at("epoch").to_number<std::size_t>();
    epoch.loss = line.at("loss").to_number<double>();
    if (const auto* ndcg = line.if_contains("validation_ndcg@10")) {
      epoch.validation_ndcg_10 = ndcg->to_number<double>();
    }
    epoch.seconds = line.at("seconds").to_number<double>();
    epoch.best_epoch = line.at("best_epoch").to_number<std::size_t>();
    epochs.push_back(std::move(epoch));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return epochs;
}

}  // namespace fovea::engine
