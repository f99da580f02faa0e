#include "ranking/word_piece.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>

#include "ranking/weights.h"

namespace fovea::ranking {
namespace {

constexpr std::size_t kWordCodePointsMax = 100;  // of the reference
constexpr std::array<std::string_view, 5> kSpecial = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};

bool is_space(utf8proc_int32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return true;
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
}

// What no word is made of and no word ends at.
bool is_dropped(utf8proc_int32_t c) {
  if (c == 0 || c == 0xFFFD) return true;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
      return true;
    default:
      return false;
  }
}

bool is_punctuation(utf8proc_int32_t c) {
  if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
      (c >= 123 && c <= 126)) {
    return true;
  }
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

// The blocks of ideographs that the reference knows; neither kana nor Hangul, which have words.
bool is_chinese(utf8proc_int32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// Bytes of the last code point of valid UTF-8.
std::size_t last_length(std::string_view text) {
  std::size_t n = 1;
  while (n < text.size() && (static_cast<unsigned char>(text[text.size() - n]) & 0xC0) == 0x80) ++n;
  return n;
}

}  // namespace

// Cuts one text into words and has their pieces added as each ends.
class WordPiece::Words {
 public:
  Words(const WordPiece& pieces, std::size_t ids_max)
      : pieces_(pieces), ids_max_(ids_max), ids_{pieces.first_} {}

  // True when what comes next would be cut off.
  bool full() const { return ids_.size() >= ids_max_ - 1; }

  void add(utf8proc_int32_t c) {
    if (is_space(c)) return end();  // before what is dropped: tabs are controls
    if (is_dropped(c)) return;
    const bool alone = pieces_.options_.chinese_characters && is_chinese(c);
    if (alone) end();
    if (pieces_.options_.strip_accents) {
      std::array<utf8proc_int32_t, 32> parts{};  // canonically there are at most 4
      int boundary = 0;
      const auto n =
          utf8proc_decompose_char(c, parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
      const std::size_t count = n > 0 ? static_cast<std::size_t>(n) : 0;
      for (const auto part : std::span(parts).first(count)) {
        if (utf8proc_category(part) != UTF8PROC_CATEGORY_MN) add_folded(part);
      }
    } else {
      add_folded(c);
    }
    if (alone) end();
  }

  void add_special(std::string_view name) {
    end();
    ids_.push_back(pieces_.begins_.find(name)->second);
  }

  std::vector<std::uint32_t> take() {
    end();
    ids_.resize(std::min(ids_.size(), ids_max_ - 1));
    ids_.push_back(pieces_.last_);
    return std::move(ids_);
  }

 private:
  void add_folded(utf8proc_int32_t c) {
    if (pieces_.options_.lower_case) {
      // The one letter whose lower case is two.
      if (c == 0x130) {
        append('i');
        return append(0x307);
      }
      c = utf8proc_tolower(c);
    }
    if (is_space(c)) return end();
    if (!is_punctuation(c)) return append(c);
    end();
    append(c);
    end();
  }

  void append(utf8proc_int32_t c) {
    if (++length_ > kWordCodePointsMax) return;
    std::array<utf8proc_uint8_t, 4> bytes{};
    const auto n = utf8proc_encode_char(c, bytes.data());
    word_.append(bytes.begin(), bytes.begin() + n);
  }

  void end() {
    if (length_ == 0) return;
    if (length_ > kWordCodePointsMax) {
      ids_.push_back(pieces_.unknown_);
    } else {
      pieces_.add_pieces(word_, ids_);
    }
    word_.clear();
    length_ = 0;
  }

  const WordPiece& pieces_;
  std::size_t ids_max_;
  std::vector<std::uint32_t> ids_;
  std::string word_;
  std::size_t length_ = 0;  // code points of the word, also those beyond what is kept
};

WordPiece WordPiece::load(const std::filesystem::path& file, const Options& options) {
  const auto refuse = [&](const std::string& why) -> WeightsError {
    return WeightsError(file.string() + ": " + why);
  };
  std::ifstream in(file, std::ios::binary);
  if (!in || std::filesystem::is_directory(file)) {
    throw refuse(std::string("cannot be opened: ") + std::strerror(in ? EISDIR : errno) +
                 "; a vocabulary with a token a line is expected");
  }
  WordPiece result;
  result.options_ = options;
  std::string line;
  while (std::getline(in, line)) {
    if (line.ends_with('\r')) line.pop_back();
    const auto id = static_cast<std::uint32_t>(result.size_++);
    const bool continues = line.size() > 2 && line.starts_with("##");
    const std::string piece = continues ? line.substr(2) : line;
    result.longest_ = std::max(result.longest_, piece.size());
    if (!(continues ? result.continues_ : result.begins_).emplace(piece, id).second) {
      throw refuse("names the token '" + line + "' a second time in line " +
                   std::to_string(result.size_) + "; each token has one id");
    }
  }
  if (in.bad()) throw refuse("could not be read to its end");
  const auto id_of = [&](std::string_view name) {
    const auto found = result.begins_.find(name);
    if (found != result.begins_.end()) return found->second;
    throw refuse("has no token " + std::string(name) +
                 ", which every BERT vocabulary has on a line of its own");
  };
  result.unknown_ = id_of("[UNK]");
  result.first_ = id_of("[CLS]");
  result.last_ = id_of("[SEP]");
  return result;
}

void WordPiece::add_pieces(std::string_view word, std::vector<std::uint32_t>& ids) const {
  const std::size_t before = ids.size();
  const Ids* known = &begins_;
  while (!word.empty()) {
    std::string_view piece = word;
    auto found = known->end();
    while (!piece.empty()) {
      if (piece.size() <= longest_) found = known->find(piece);
      if (found != known->end()) break;
      piece.remove_suffix(last_length(piece));
    }
    if (piece.empty()) {  // a word is known whole or not at all
      ids.resize(before);
      ids.push_back(unknown_);
      return;
    }
    ids.push_back(found->second);
    word.remove_prefix(piece.size());
    known = &continues_;
  }
}

std::vector<std::uint32_t> WordPiece::encode(std::string_view text, std::size_t ids_max) const {
  assert(ids_max >= 2);
  Words words(*this, ids_max);
  while (!text.empty() && !words.full()) {
    const auto special = std::ranges::find_if(kSpecial, [&](std::string_view name) {
      return text.starts_with(name) && begins_.contains(name);
    });
    if (special != kSpecial.end()) {
      words.add_special(*special);
      text.remove_prefix(special->size());
      continue;
    }
    utf8proc_int32_t c = 0;
    const auto bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                        static_cast<utf8proc_ssize_t>(text.size()), &c);
    if (bytes > 0) words.add(c);
    text.remove_prefix(bytes > 0 ? static_cast<std::size_t>(bytes) : 1);
  }
  return words.take();
}

}  // namespace fovea::ranking
