#include "index/word_segment.h"

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

namespace fovea::index {
namespace {

/// Every place in a segment is 32 bits.
void check_room(std::uint64_t words) {
  if (words >= std::uint64_t{1} << 32) {
    throw std::length_error(
        "the texts of the catalogue have 2^32 words or more; fewer can be "
        "searched by words");
  }
}

}  // namespace

void WordSegment::begin_word(std::string_view word) {
  letters_ += word;
  ends_.push_back(static_cast<std::uint32_t>(letters_.size()));
}

void WordSegment::end_word() { first_.push_back(static_cast<std::uint32_t>(in_.size())); }

std::shared_ptr<const WordSegment> WordSegment::of(std::span<const Document> documents) {
  const auto segment = std::make_shared<WordSegment>();
  struct Place {
    std::uint32_t document;
    std::uint16_t position;
  };
  std::unordered_map<std::string_view, std::vector<Place>> places;
  std::uint64_t length = 0;
  for (std::uint32_t d = 0; d < documents.size(); ++d) {
    const auto n = std::min(documents[d].words.size(), kWordsMax);
    segment->rows_.push_back(documents[d].row);
    segment->lengths_.push_back(static_cast<std::uint16_t>(n));
    for (std::size_t i = 0; i < n; ++i) {
      places[documents[d].words[i]].push_back({d, static_cast<std::uint16_t>(i)});
    }
    length += n;
  }
  check_room(length);
  std::vector<std::string_view> words;
  words.reserve(places.size());
  for (const auto& [word, of] : places) words.push_back(word);
  std::ranges::sort(words);
  segment->positions_.reserve(length);
  for (const auto word : words) {
    segment->begin_word(word);
    const auto& of = places[word];
    for (std::size_t i = 0; i < of.size(); ++i) {
      if (i == 0 || of[i].document != of[i - 1].document) {
        segment->in_.push_back(of[i].document);
        segment->starts_.push_back(static_cast<std::uint32_t>(segment->positions_.size()));
      }
      segment->positions_.push_back(of[i].position);
    }
    segment->end_word();
  }
  segment->starts_.push_back(static_cast<std::uint32_t>(segment->positions_.size()));
  return segment;
}

std::shared_ptr<const WordSegment> WordSegment::merged(std::span<const Part> parts) {
  constexpr auto kGone = ~std::uint32_t{0};
  struct Source {
    std::uint32_t part;
    std::uint32_t document;
    std::uint32_t row;
  };
  std::vector<Source> sources;
  std::vector<std::vector<std::uint32_t>> becomes(parts.size());  // by part and document
  std::uint64_t length = 0;
  for (std::uint32_t p = 0; p < parts.size(); ++p) {
    const WordSegment& from = *parts[p].segment;
    becomes[p].assign(from.documents(), kGone);
    for (std::uint32_t d = 0; d < from.documents(); ++d) {
      if (parts[p].gone != nullptr && parts[p].gone->contains(d)) continue;
      sources.push_back({p, d, from.rows_[d]});
      length += from.lengths_[d];
    }
  }
  check_room(length);
  std::ranges::sort(sources, {}, &Source::row);
  const auto segment = std::make_shared<WordSegment>();
  segment->rows_.reserve(sources.size());
  segment->lengths_.reserve(sources.size());
  segment->positions_.reserve(length);
  for (std::uint32_t d = 0; d < sources.size(); ++d) {
    const Source& source = sources[d];
    becomes[source.part][source.document] = d;
    segment->rows_.push_back(source.row);
    segment->lengths_.push_back(parts[source.part].segment->lengths_[source.document]);
  }

  struct Posting {
    std::uint32_t document;  // of the new segment
    std::uint32_t part;
    std::size_t i;  // among the word's in its part
  };
  std::vector<Posting> gathered;
  std::vector<Postings> of_word(parts.size());
  std::vector<std::uint32_t> next(parts.size());  // the word that a part is at
  for (;;) {
    std::optional<std::string_view> word;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (next[p] == parts[p].segment->words()) continue;
      const auto here = parts[p].segment->word(next[p]);
      if (!word || here < *word) word = here;
    }
    if (!word) break;
    gathered.clear();
    std::size_t lists = 0;
    for (std::uint32_t p = 0; p < parts.size(); ++p) {
      const WordSegment& from = *parts[p].segment;
      if (next[p] == from.words() || from.word(next[p]) != *word) continue;
      of_word[p] = from.postings(next[p]++);
      ++lists;
      for (std::size_t i = 0; i < of_word[p].documents.size(); ++i) {
        const auto document = becomes[p][of_word[p].documents[i]];
        if (document != kGone) gathered.push_back({document, p, i});
      }
    }
    if (gathered.empty()) continue;
    if (lists > 1) std::ranges::sort(gathered, {}, &Posting::document);
    segment->begin_word(*word);
    for (const Posting& posting : gathered) {
      segment->in_.push_back(posting.document);
      segment->starts_.push_back(static_cast<std::uint32_t>(segment->positions_.size()));
      const auto positions =
          parts[posting.part].segment->positions(of_word[posting.part], posting.i);
      segment->positions_.insert(segment->positions_.end(), positions.begin(), positions.end());
    }
    segment->end_word();
  }
  segment->starts_.push_back(static_cast<std::uint32_t>(segment->positions_.size()));
  return segment;
}

std::optional<std::uint32_t> WordSegment::document(std::uint32_t row) const {
  const auto at = std::ranges::lower_bound(rows_, row);
  if (at == rows_.end() || *at != row) return std::nullopt;
  return static_cast<std::uint32_t>(at - rows_.begin());
}

std::uint32_t WordSegment::lower_bound(std::string_view wanted) const {
  std::uint32_t from = 0;
  auto to = static_cast<std::uint32_t>(words());
  while (from < to) {
    const std::uint32_t middle = from + (to - from) / 2;
    if (word(middle) < wanted) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

std::optional<std::uint32_t> WordSegment::find(std::string_view wanted) const {
  const std::uint32_t w = lower_bound(wanted);
  if (w == words() || word(w) != wanted) return std::nullopt;
  return w;
}

std::size_t WordSegment::bytes() const {
  return letters_.capacity() + rows_.capacity() * 4 + lengths_.capacity() * 2 +
         ends_.capacity() * 4 + first_.capacity() * 4 + in_.capacity() * 4 +
         starts_.capacity() * 4 + positions_.capacity() * 2;
}

}  // namespace fovea::index
