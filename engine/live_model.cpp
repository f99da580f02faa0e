#include "engine/live_model.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

namespace fovea::engine {
namespace {

/// Items encoded and put together while catching up.
constexpr std::size_t kCatchUpBatch = 8192;

bool known(std::span<const float> vector) {
  return std::ranges::any_of(vector, [](float value) { return value != 0; });
}

/// Puts the rows that have a vector; takes out those that have none, since nothing is near to
/// zeros.
void put_known(index::GenerationalIndex& index, std::span<const std::uint32_t> rows,
               std::span<const float> vectors) {
  const std::size_t width = index.width();
  std::vector<std::uint32_t> with;
  std::vector<std::uint32_t> without;
  std::vector<float> kept;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto vector = vectors.subspan(i * width, width);
    if (known(vector)) {
      with.push_back(rows[i]);
      kept.insert(kept.end(), vector.begin(), vector.end());
    } else {
      without.push_back(rows[i]);
    }
  }
  if (!with.empty()) index.put(with, kept);
  if (!without.empty()) index.remove(without);
}

}  // namespace

LiveModel::LiveModel(Version version, index::RebuildOptions rebuild)
    : card_(std::move(version.card)),
      text_space_(std::move(version.text_space)),
      model_(std::move(version.model)),
      vectors_(std::move(version.texts), text_space_.width(), std::move(version.vectors),
               model_ ? model_->width() : 0),
      text_index_(live_index(std::move(version.text_index), ItemVectors::Part::kText, rebuild)),
      popularity_(std::make_shared<const Popularity>(std::move(version.log_popularity))) {
  if (model_) {
    item_index_ = live_index(std::move(version.item_index), ItemVectors::Part::kItem, rebuild);
  }
}

std::unique_ptr<index::GenerationalIndex> LiveModel::live_index(
    std::unique_ptr<const index::VectorIndex> main, ItemVectors::Part part,
    const index::RebuildOptions& rebuild) {
  return std::make_unique<index::GenerationalIndex>(
      std::move(main), vectors_.width(part),
      [this, part](std::span<const std::uint32_t> rows, std::span<float> vectors) {
        vectors_.gather(part, rows, vectors);
      },
      [this, part](const index::RowSet& rows, std::span<const float> query, std::size_t k) {
        return vectors_.nearest(part, rows, query, k);
      },
      rebuild);
}

std::shared_ptr<GpuModel> LiveModel::on_gpu() const {
  const std::lock_guard lock(gpu_mutex_);
  return on_gpu_;
}

std::string LiveModel::off_gpu() const {
  const std::lock_guard lock(gpu_mutex_);
  return off_gpu_;
}

GpuSource LiveModel::gpu_source() {
  const std::lock_guard putting(putting_);
  put_since_.emplace();
  source_index_ = item_index_->current();
  return {*model_, vectors_, source_index_, popularity_->log_popularity()};
}

bool LiveModel::move_to_gpu(std::shared_ptr<GpuModel> gpu) {
  const std::lock_guard putting(putting_);
  const auto rows = std::exchange(put_since_, std::nullopt).value_or(std::vector<std::uint32_t>());
  const auto index = std::exchange(source_index_, nullptr);
  const auto vectors = vectors_.gather(rows);
  const bool usable =
      index == item_index_->current() && gpu->put(rows, vectors.texts, vectors.items);
  const std::lock_guard lock(gpu_mutex_);
  if (!usable) {
    off_gpu_ = "its catalogue has changed too much since it was loaded, and is about to be again";
    to_come_back_ = true;
    was_on_gpu_ = gpu;
    return false;
  }
  on_gpu_ = std::move(gpu);
  off_gpu_.clear();
  to_come_back_ = false;
  return true;
}

void LiveModel::leave_gpu(std::string reason) {
  {
    const std::lock_guard putting(putting_);
    put_since_.reset();
    source_index_.reset();
  }
  leave_gpu(std::move(reason), false);
}

void LiveModel::leave_gpu(std::string reason, bool to_come_back) {
  std::shared_ptr<GpuModel> gone;  // freed without the lock
  const std::lock_guard lock(gpu_mutex_);
  gone.swap(on_gpu_);
  was_on_gpu_ = gone;
  off_gpu_ = std::move(reason);
  to_come_back_ = to_come_back;
}

bool LiveModel::awaits_gpu() const {
  const std::lock_guard lock(gpu_mutex_);
  return to_come_back_ && was_on_gpu_.expired();
}

std::vector<float> LiveModel::encode(const ranking::Context& context,
                                     std::span<const storage::Item* const> items) const {
  const std::size_t width = text_space_.width();
  std::vector<ranking::TextSource> sources;
  sources.reserve(items.size());
  for (const storage::Item* item : items) {
    ranking::TextSource& source = sources.emplace_back();
    if (item->text) source.text = *item->text;
    // The first embeddings may come after a version that was fitted on texts; they count from the
    // next version on.
    if (item->embedding && item->embedding->size() == width) source.embedding = *item->embedding;
  }
  std::vector<float> texts(items.size() * width);
  text_space_.encode(context, sources, texts);
  return texts;
}

void LiveModel::put(std::span<const std::uint32_t> given, std::span<const float> given_texts) {
  const std::size_t text_width = text_space_.width();
  std::vector<std::uint32_t> rows;
  std::vector<float> texts;
  std::unordered_set<std::uint32_t> done;
  for (std::size_t i = given.size(); i-- > 0;) {
    if (!done.insert(given[i]).second) continue;
    const auto text = given_texts.subspan(i * text_width, text_width);
    rows.push_back(given[i]);
    texts.insert(texts.end(), text.begin(), text.end());
  }
  if (rows.empty()) return;

  std::vector<float> vectors;
  if (model_) {
    std::vector<float> whitened(rows.size() * text_space_.whitened_width());
    text_space_.whiten(texts, whitened);
    vectors.resize(rows.size() * model_->width());
    model_->item_vectors(ranking::Context{}, rows, whitened, vectors);
  }
  const std::lock_guard putting(putting_);
  // Vectors first: what an index returns can then always be gathered.
  vectors_.put(rows, texts, vectors);
  if (put_since_) put_since_->insert(put_since_->end(), rows.begin(), rows.end());
  if (const auto gpu = on_gpu(); gpu && !gpu->put(rows, texts, vectors)) {
    leave_gpu("the catalogue has outgrown its place on the GPU, which is about to grow", true);
  }
  put_known(*text_index_, rows, texts);
  if (item_index_) put_known(*item_index_, rows, vectors);
}

void LiveModel::remove(std::span<const std::uint32_t> rows) {
  if (rows.empty()) return;
  text_index_->remove(rows);
  if (item_index_) item_index_->remove(rows);
}

std::uint64_t LiveModel::catch_up(const storage::Catalog& catalog, std::uint64_t after_revision,
                                  int threads) {
  const std::uint64_t revision = catalog.revision();
  std::vector<storage::StoredItem> batch;
  const auto flush = [&] {
    std::vector<std::uint32_t> rows;
    std::vector<const storage::Item*> items;
    for (const auto& item : batch) {
      rows.push_back(item.row);
      items.push_back(&item);
    }
    put(rows, encode({.threads = threads}, items));
    batch.clear();
  };
  if (revision > after_revision) {  // or there is nothing to read all items for
    catalog.for_each(
        [&](const storage::StoredItem& item) {
          batch.push_back(item);
          if (batch.size() == kCatchUpBatch) flush();
        },
        after_revision);
    flush();
  }

  std::vector<std::uint32_t> gone;
  const auto rows = std::max<std::size_t>(catalog.rows(), card_.items);
  for (std::uint32_t row = 0; row < rows; ++row) {
    if (!catalog.present(row)) gone.push_back(row);
  }
  remove(gone);
  return revision;
}

std::vector<float> unit_vectors(const LiveModel& model, std::span<const std::uint32_t> rows) {
  GatheredVectors gathered = model.vectors().gather(rows);
  std::vector<float> vectors =
      std::move(model.model() != nullptr ? gathered.items : gathered.texts);
  const std::size_t width = rows.empty() ? 0 : vectors.size() / rows.size();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto vector = std::span(vectors).subspan(i * width, width);
    double square = 0;
    for (const float x : vector) square += static_cast<double>(x) * x;
    const auto scale = square > 0 ? static_cast<float>(1 / std::sqrt(square)) : 0.0F;
    for (float& x : vector) x *= scale;
  }
  return vectors;
}

bool LiveModel::rebuild_due() const {
  return text_index_->rebuild_due() || (item_index_ && item_index_->rebuild_due());
}

bool LiveModel::rebuild(int threads, const std::function<bool()>& go_on) {
  const bool built = text_index_->rebuild_due() && text_index_->rebuild(threads, go_on);
  if (!item_index_ || !item_index_->rebuild_due()) return built;
  // Before the swap: what is put after it would not be found by a search of the old one.
  return item_index_->rebuild(threads, go_on, [this] {
    if (on_gpu()) leave_gpu("its index was built anew and is about to be loaded", true);
  }) || built;
}

}  // namespace fovea::engine
