#include "index/widening.h"

#include <algorithm>

namespace fovea::index {
namespace {

// What of one fetched list may be returned, at most k.
std::vector<Neighbour> accepted(const Unfiltered& index, std::span<const std::int64_t> ids,
                                std::span<const float> scores, std::size_t k, const RowSet* allow) {
  std::vector<Neighbour> found;
  found.reserve(k);
  for (std::size_t i = 0; i < ids.size() && found.size() < k; ++i) {
    if (ids[i] < 0) continue;
    const std::uint32_t row = index.rows[static_cast<std::size_t>(ids[i])];
    if (allow == nullptr || allow->contains(row)) found.push_back({row, scores[i]});
  }
  return found;
}

}  // namespace

std::size_t widened(std::size_t k, std::size_t last, std::size_t most) {
  return std::min(most, last == 0 ? k + std::max<std::size_t>(64, k / 4) : 4 * last);
}

std::size_t lists_to_read(std::size_t least, std::size_t asked, std::size_t lists,
                          std::size_t size) {
  const std::size_t holding = (16 * asked * lists + size - 1) / size;
  return std::clamp<std::size_t>(std::max(least, holding), 1, std::min(lists, kGpuNeighboursMax));
}

Ask ask_main(std::size_t k, std::size_t removed, std::size_t size, bool complete) {
  const std::size_t most = std::min(kGpuNeighboursMax, size);
  const std::size_t enough = k + removed;
  const std::size_t fetch =
      std::min(removed == 0 ? k : std::min(enough, widened(k, 0, most)), most);
  return {fetch, complete && (fetch == enough || fetch == size)};
}

std::vector<std::vector<Neighbour>> search_widening(const Unfiltered& index,
                                                    const VectorIndex& exact,
                                                    std::span<const float> queries, std::size_t k,
                                                    std::span<const RowSet* const> allow) {
  const std::size_t batch = batch_size(queries, index.width, allow.size());
  const std::size_t most = std::min(index.neighbours_max, index.rows.size());
  k = std::min(k, index.rows.size());
  std::vector<std::vector<Neighbour>> found(batch);
  if (k == 0) return found;
  const auto query = [&](std::size_t b) { return queries.subspan(b * index.width, index.width); };
  const auto filter = [&](std::size_t b) { return allow.empty() ? nullptr : allow[b]; };

  std::vector<std::size_t> open(batch);  // queries without their k neighbours yet
  for (std::size_t b = 0; b < batch; ++b) open[b] = b;
  const bool filtered =
      std::ranges::any_of(allow, [](const RowSet* set) { return set != nullptr; });
  std::size_t asked = filtered ? widened(k, 0, most) : k;
  while (!open.empty() && k <= most) {
    std::vector<std::size_t> still_open;
    const std::size_t step = std::min(open.size(), index.queries_max);
    std::vector<float> gathered;
    std::vector<std::int64_t> ids(step * asked);
    std::vector<float> scores(step * asked);
    for (std::size_t begin = 0; begin < open.size(); begin += step) {
      const std::size_t n = std::min(step, open.size() - begin);
      gathered.clear();
      for (std::size_t i = 0; i < n; ++i) {
        const auto one = query(open[begin + i]);
        gathered.insert(gathered.end(), one.begin(), one.end());
      }
      index.fetch(gathered, asked, std::span(ids).first(n * asked),
                  std::span(scores).first(n * asked));
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t b = open[begin + i];
        found[b] = accepted(index, std::span(ids).subspan(i * asked, asked),
                            std::span(scores).subspan(i * asked, asked), k, filter(b));
        const bool all = index.complete && asked == index.rows.size();
        if (found[b].size() < k && !all) still_open.push_back(b);
      }
    }
    open = std::move(still_open);
    if (asked == most) break;
    asked = widened(k, asked, most);
  }
  for (const std::size_t b : open) found[b] = exact.search(query(b), k, filter(b));
  return found;
}

}  // namespace fovea::index
