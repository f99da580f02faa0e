// A bookshop. What there is to learn, and from what:
//   content    a reader stays with a genre and a mood for a while, and both are said in the text
//   sequence   part 1 of a series is followed by part 2; some books are read after each other by
//   everybody, which no
//              text says; readers of one genre move on to the next one of a ring
//   recency    a reader's present taste replaces the one before, so old behaviours mislead
//   popularity within genre and mood books are picked by Zipf's law
// All arithmetic is on integers: logarithms and powers differ in the last bit between mathematics
// libraries.
#include "engine/synthetic.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "engine/synthetic_words.h"

namespace fovea::engine {
namespace {

using namespace synthetic_words;

constexpr std::uint64_t kDayMs = 86'400'000;

/// SplitMix64 (Steele, Lea, Flood, 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// 0 .. n - 1, for n up to 2^32.
  std::uint64_t below(std::uint64_t n) { return ((next() >> 32) * n) >> 32; }
  bool percent(std::uint64_t chance) { return below(100) < chance; }
  template <typename T, std::size_t N>
  const T& pick(const std::array<T, N>& choices) {
    return choices[below(N)];
  }

 private:
  std::uint64_t state_;
};

/// Independent streams of one seed.
std::uint64_t stream(std::uint64_t seed, std::uint64_t number) {
  return Random(seed * 0x9e3779b97f4a7c15 + number + 1).next();
}

struct Book {
  std::uint8_t genre = 0;
  std::uint8_t mood = 0;
  std::uint8_t part = 0;  ///< 1 .. 3 within a series; 0: stands alone.
  std::uint16_t author = 0;
  std::uint16_t year = 0;
  std::uint32_t price_cents = 0;
  std::uint32_t companion = 0;  ///< Read after this one by many; another book of the genre.
  std::uint64_t seed = 0;       ///< Of its words; shared by the parts of a series.
};

/// Books to draw from, more often the earlier ones: weight 1 / (place + 3), summed up.
struct Shelf {
  std::vector<std::uint32_t> books;
  std::vector<std::uint64_t> sums;

  void add(std::uint32_t book) {
    const std::uint64_t weight = 1'000'000 / (books.size() + 3);
    sums.push_back((sums.empty() ? 0 : sums.back()) + std::max<std::uint64_t>(weight, 1));
    books.push_back(book);
  }
  std::uint32_t draw(Random& random) const {
    const std::uint64_t at = random.next() % sums.back();
    return books[static_cast<std::size_t>(std::upper_bound(sums.begin(), sums.end(), at) -
                                          sums.begin())];
  }
};

/// The whole shop: a few bytes a book, the same for items and events.
struct Shop {
  std::vector<Book> books;
  std::array<Shelf, kGenres.size()> by_genre;
  std::array<std::array<Shelf, kMoods.size()>, kGenres.size()> by_mood;

  explicit Shop(const SyntheticOptions& options) {
    Random random(stream(options.seed, 0));
    books.reserve(options.items + 2);
    while (books.size() < options.items) {
      Book book;
      book.genre = static_cast<std::uint8_t>(random.below(kGenres.size()));
      book.mood = static_cast<std::uint8_t>(random.below(kMoods.size()));
      // An author writes in one genre: the number of the author decides it.
      book.author = static_cast<std::uint16_t>(random.below(12) * kGenres.size() + book.genre);
      book.year = static_cast<std::uint16_t>(1960 + random.below(60));
      book.price_cents = static_cast<std::uint32_t>(499 + 100 * random.below(26));
      book.seed = random.next();
      const bool series = random.percent(15);
      for (std::uint8_t part = 1; part <= (series ? 3 : 1) && books.size() < options.items;
           ++part) {
        book.part = series ? part : 0;
        books.push_back(book);
        book.year += 2;
      }
    }
    for (std::uint32_t book = 0; book < books.size(); ++book) {
      by_genre[books[book].genre].add(book);
      by_mood[books[book].genre][books[book].mood].add(book);
    }
    for (Book& book : books) {
      const std::vector<std::uint32_t>& genre = by_genre[book.genre].books;
      book.companion = genre[random.below(genre.size())];
    }
  }

  std::optional<std::uint32_t> next_part(std::uint32_t book) const {
    if (books[book].part == 0 || book + 1 >= books.size()) return std::nullopt;
    return books[book + 1].seed == books[book].seed ? std::optional(book + 1) : std::nullopt;
  }
};

std::string padded(std::uint64_t number, std::size_t width) {
  std::string digits = std::to_string(number);
  return digits.size() < width ? std::string(width - digits.size(), '0') + digits : digits;
}

std::string with_article(std::string_view noun) {
  const bool vowel = std::string_view("AEIOU").find(noun.front()) != std::string_view::npos;
  return (vowel ? "An " : "A ") + std::string(noun);
}

std::string plural(std::string_view noun) {
  const bool hisses = noun.ends_with('s') || noun.ends_with('z') || noun.ends_with("sh");
  return std::string(noun) + (hisses || noun.ends_with('o') ? "es" : "s");
}

std::string invent_title(const Genre& genre, Random& random) {
  const std::string adjective(random.pick(kAdjectives));
  const std::string_view thing = random.pick(genre.things);
  const std::string place(random.pick(genre.places));
  switch (random.below(4)) {
    case 0:
      return "The " + adjective + " " + std::string(thing);
    case 1:
      return "The " + std::string(thing) + " of " + place;
    case 2:
      return adjective + " " + plural(thing) + " of " + place;
    default:
      return with_article(thing) + " for " + place;
  }
}

std::string author_name(std::size_t author) {
  const std::size_t more = author / kFirstNames.size();
  return std::string(kFirstNames[(author * 7 + more) % kFirstNames.size()]) + " " +
         std::string(kLastNames[(author * 11 + more * 4) % kLastNames.size()]);
}

std::string book_id(std::uint32_t book) { return "book-" + padded(book + 1, 4); }

/// `title` carries the title of the part before from call to call: a series keeps that of its first
/// part.
Item item(const Shop& shop, std::uint32_t number, std::string& title,
          std::unordered_set<std::string>& titles) {
  const Book& book = shop.books[number];
  const Genre& genre = kGenres[book.genre];
  Random random(stream(book.seed, book.part));
  if (book.part <= 1) {
    // Titles repeat only in a catalogue that has more books than there are titles.
    for (int tries = 0; tries < 8; ++tries) {
      title = invent_title(genre, random);
      if (titles.insert(title).second) break;
    }
  }
  const std::string author = author_name(book.author);
  const std::size_t theme = random.below(genre.themes.size());
  const std::string first(genre.themes[theme]);
  const std::string second(genre.themes[(theme + 1 + random.below(9)) % genre.themes.size()]);

  Item result;
  result.item_id = book_id(number);
  result.text = title + (book.part > 0 ? ", Part " + std::to_string(book.part) : "") + " (" +
                std::to_string(book.year) + "). A " + std::string(kMoods[book.mood]) + " " +
                std::string(genre.name) + " by " + author + ": " + first + " and " + second + ".";
  result.attributes["category"] = std::string(genre.name);
  result.attributes["mood"] = std::string(kMoods[book.mood]);
  result.attributes["author"] = author;
  result.attributes["year"] = static_cast<double>(book.year);
  result.attributes["price"] = static_cast<double>(book.price_cents) / 100;
  return result;
}

struct Taste {
  std::size_t genre = 0;
  std::size_t mood = 0;
};

Taste any_taste(Random& random) {
  return {random.below(kGenres.size()), random.below(kMoods.size())};
}

/// One reader, session by session.
class Reader {
 public:
  Reader(const Shop& shop, const SyntheticOptions& options, std::size_t number)
      : shop_(shop),
        random_(stream(options.seed, number + 1)),
        present_(any_taste(random_)),
        aside_(any_taste(random_)),
        user_id_("reader-" + padded(number + 1, 4)) {
    const std::size_t mean = options.events_per_user;
    std::size_t wanted = std::max<std::size_t>(3, mean / 2 + random_.below(mean + 1));
    wanted = std::min(wanted, shop.books.size());
    // A reader who has read all that the present taste finds gives up a session and goes on to
    // another taste.
    for (std::size_t sessions = 0; events_.size() < wanted && sessions < 4 * wanted; ++sessions) {
      session(std::min<std::size_t>(3 + random_.below(6), wanted - events_.size()));
    }
    if (events_.empty()) return;
    const std::int64_t newest_ms =
        options.end_ms - static_cast<std::int64_t>(random_.below(30 * kDayMs / 1000) * 1000);
    const std::int64_t shift_ms = newest_ms - *events_.back().time_ms;
    for (Event& event : events_) *event.time_ms += shift_ms;
  }

  std::span<const Event> events() const { return events_; }

 private:
  void session(std::size_t length) {
    clock_ms_ += static_cast<std::int64_t>(kDayMs + random_.below(20 * kDayMs / 1000) * 1000);
    if (random_.percent(25)) drift();
    const Taste taste = random_.percent(85) ? present_ : aside_;
    std::optional<std::uint32_t> last;
    for (std::size_t i = 0; i < length; ++i) {
      const std::optional<std::uint32_t> book = choose(taste, last);
      if (!book) {
        drift();
        return;
      }
      read_.insert(*book);
      add(*book, taste);
      last = book;
    }
  }

  /// Mostly to the next genre of the ring, sometimes anywhere; the mood more often stays.
  void drift() {
    present_.genre =
        random_.percent(70) ? (present_.genre + 1) % kGenres.size() : random_.below(kGenres.size());
    if (random_.percent(40)) present_.mood = random_.below(kMoods.size());
  }

  std::optional<std::uint32_t> choose(const Taste& taste, std::optional<std::uint32_t> last) {
    if (last) {
      const std::optional<std::uint32_t> next = shop_.next_part(*last);
      if (next && random_.percent(60) && !read_.contains(*next)) return next;
      const std::uint32_t companion = shop_.books[*last].companion;
      if (random_.percent(35) && !read_.contains(companion)) return companion;
    }
    for (int tries = 0; tries < 20; ++tries) {
      const Shelf& mood = shop_.by_mood[taste.genre][taste.mood];
      const Shelf& shelf =
          random_.percent(75) && !mood.books.empty() ? mood : shop_.by_genre[taste.genre];
      if (shelf.books.empty()) continue;
      const std::uint32_t book = shelf.draw(random_);
      // Nobody starts a series in its middle.
      if (shop_.books[book].part <= 1 && !read_.contains(book)) return book;
    }
    return std::nullopt;
  }

  void add(std::uint32_t book, const Taste& taste) {
    clock_ms_ += static_cast<std::int64_t>(20'000 + random_.below(600) * 1000);
    const bool buys = random_.percent(shop_.books[book].mood == taste.mood ? 28 : 8);
    Event event;
    event.user_id = user_id_;
    event.item_id = book_id(book);
    event.action = buys ? "purchase" : "view";
    event.time_ms = clock_ms_;
    if (buys) event.value = static_cast<double>(shop_.books[book].price_cents) / 100;
    events_.push_back(std::move(event));
  }

  const Shop& shop_;
  Random random_;
  Taste present_;
  Taste aside_;  ///< Does not drift; a sixth of the sessions.
  std::string user_id_;
  std::int64_t clock_ms_ = 0;
  std::unordered_set<std::uint32_t> read_;
  std::vector<Event> events_;
};

}  // namespace

std::vector<Item> synthetic_items(const SyntheticOptions& options) {
  const Shop shop(options);
  std::vector<Item> items;
  items.reserve(shop.books.size());
  std::string title;
  std::unordered_set<std::string> titles;
  for (std::uint32_t book = 0; book < shop.books.size(); ++book) {
    items.push_back(item(shop, book, title, titles));
  }
  return items;
}

void synthetic_events(const SyntheticOptions& options,
                      const std::function<void(std::span<const Event>)>& emit) {
  const Shop shop(options);
  for (std::size_t user = 0; user < options.users; ++user) {
    const Reader reader(shop, options, user);
    if (!reader.events().empty()) emit(reader.events());
  }
}

}  // namespace fovea::engine
