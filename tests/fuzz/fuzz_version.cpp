// A version's folder in which anything may stand, under checksums that are right: as another
// program might have written it. Whatever an input changes in the texts and in the arrays, the
// engine refuses the version and goes on with the one before, or it takes it and ranks. Faiss' two
// files stay as they are: Faiss trusts what it reads, and checksums are what stands before it.
//
// An input is a list of edits. A number chooses the text, or the array and what is done to it.
#include <fuzzer/FuzzedDataProvider.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/files.h"
#include "engine/models.h"
#include "ranking/weights.h"
#include "tests/shop.h"

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using namespace fovea::engine;
using fovea::ranking::Weights;

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

/// A shop that serves one version, and the files of the version that inputs change.
struct Published {
  Published() {
    spdlog::set_level(spdlog::level::off);  // every refusal is a line
    auto options = shop.options();
    options.record_exposures = false;
    engine = Engine::open(shop.directory(), options);
    shop.stock(*engine);
    serves = shop.publish(shop.learned_version(engine->db()));
    changed = shop.publish(shop.learned_version(engine->db()));
    for (const auto& entry : fs::directory_iterator(folder())) {
      files[entry.path().filename()] = read(entry.path());
    }
    weights = Weights::load(folder() / "model.safetensors");
    const std::string& model = files.at("model.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, model.data(), sizeof header);
    const json::value about = json::parse(model.substr(sizeof header, header));
    for (const auto& [name, array] : about.as_object()) {
      if (name != "__metadata__") arrays.emplace_back(name, array.at("dtype").as_string());
    }
    serve(serves);
    if (!engine->reload()) std::abort();
  }

  fs::path folder() const { return shop.directory() / "versions" / changed; }
  /// Has CURRENT name a version as it is on the disk.
  void serve(const std::string& version) const {
    write(current(),
          version + ' ' + sha256(read(current().parent_path() / version / "card.json")) + '\n');
  }
  fs::path current() const { return shop.directory() / "versions" / "CURRENT"; }

  Shop shop;
  std::unique_ptr<Engine> engine;
  std::string serves, changed;
  std::map<std::string, std::string> files;
  Weights weights;
  std::vector<std::pair<std::string, std::string>> arrays;  // name, dtype
};

std::size_t below(FuzzedDataProvider& input, std::size_t end) {
  return input.ConsumeIntegralInRange<std::size_t>(0, end == 0 ? 0 : end - 1);
}

void edit_text(std::string& text, FuzzedDataProvider& input) {
  const std::size_t at = below(input, text.size() + 1);
  text.replace(at, below(input, 65), input.ConsumeRandomLengthString(64));
}

template <typename T>
std::vector<T> edited(std::span<const T> given, FuzzedDataProvider& input) {
  std::vector<T> values(given.begin(), given.end());
  if (input.ConsumeBool()) values.resize(below(input, 4096));
  for (std::size_t n = below(input, 8); n > 0 && !values.empty(); --n) {
    T& value = values[below(input, values.size())];
    if constexpr (std::is_floating_point_v<T>) {
      value = input.ConsumeFloatingPoint<T>();
    } else {
      value =
          input.ConsumeBool() ? input.ConsumeIntegral<T>() : input.ConsumeIntegral<std::uint8_t>();
    }
  }
  return values;
}

void edit_array(Weights& weights, const std::string& name, const std::string& type,
                FuzzedDataProvider& input) {
  if (type == "U8") {
    std::string bytes(weights.bytes(name));
    edit_text(bytes, input);
    weights.put_bytes(name, std::move(bytes));
  } else if (type == "U32") {
    weights.put_ids(name, edited(weights.ids(name), input));
  } else {
    auto values = edited(weights.floats(name), input);
    Weights::Shape shape = weights.shape(name);
    std::size_t rest = values.size();  // what the sizes must give
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) {
      if (input.ConsumeBool()) shape[i] = below(input, 256);
      if (shape[i] != 0) rest /= shape[i];
    }
    shape.back() = rest;
    std::size_t product = 1;
    for (const std::size_t size : shape) product *= size;
    values.resize(product);
    weights.put(name, std::move(shape), std::move(values));
  }
}

/// What a published folder would hold after the input's edits.
std::map<std::string, std::string> edited_files(const Published& published,
                                                FuzzedDataProvider& input) {
  auto files = published.files;
  const bool card = input.ConsumeBool();
  const bool arrays = input.ConsumeBool();
  if (arrays) {
    Weights weights = published.weights;
    for (std::size_t n = below(input, 4) + 1; n > 0; --n) {
      const auto& [name, type] = published.arrays[below(input, published.arrays.size())];
      edit_array(weights, name, type, input);
    }
    const fs::path written = published.shop.directory() / "edited";
    weights.save(written);
    files["model.safetensors"] = read(written);
  }
  json::object about = json::parse(files.at("card.json")).as_object();
  json::object& sums = about.at("files").as_object();
  if (input.ConsumeBool()) sums.erase("goldens.json");  // the arrays' own checks are the last
  if (input.ConsumeBool()) edit_text(files.at("goldens.json"), input);
  for (auto& [name, sum] : sums) {
    const std::string& bytes = files.at(name);
    sum = {{"bytes", bytes.size()}, {"sha256", sha256(bytes)}};
  }
  files["card.json"] = json::serialize(about);
  if (input.ConsumeBool()) edit_text(files.at("PUBLISHED"), input);
  while (card && input.remaining_bytes() > 0) edit_text(files.at("card.json"), input);
  return files;
}

const Published& published_shop() {
  static const Published kPublished;
  return kPublished;
}

}  // namespace

/// So that making the shop does not count as the first input's time.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  published_shop();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Published& published = published_shop();
  FuzzedDataProvider input(data, size);
  for (const auto& [name, bytes] : edited_files(published, input)) {
    write(published.folder() / name, bytes);
  }
  published.serve(published.changed);
  if (input.ConsumeProbability<float>() > 0.9F) {
    std::string current = read(published.current());
    edit_text(current, input);
    write(published.current(), current);
  }
  for (const auto& listed : Versions(published.shop.directory()).list()) {
    if (!listed.card && listed.complaint.empty()) std::abort();
  }
  Engine& engine = *published.engine;
  if (!engine.reload()) {
    if (engine.status().model_version != published.serves) std::abort();
    return 0;
  }
  for (const char* user : {"user-0", "nobody"}) {
    engine.rank({.user_id = user, .seed_items = {Shop::id(1, 2)}, .explain = true});
    engine.rank({.user_id = user, .query = "steam engine", .diversity = 0.5});
  }
  published.serve(published.serves);
  if (!engine.reload()) std::abort();
  return 0;
}
