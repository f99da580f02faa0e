// The vocabulary of the generated bookshop: genres with their words, moods, names. Owns words only;
// how often a book is read, and after which, is synthetic's.
#pragma once

#include <array>
#include <string_view>

namespace fovea::engine::synthetic_words {

struct Genre {
  std::string_view name;
  std::array<std::string_view, 8> places;
  std::array<std::string_view, 10> things;
  std::array<std::string_view, 10> themes;  ///< Named in the text, never in the title.
};

// In a ring: who has had enough of one genre mostly moves on to the next.
inline constexpr std::array<Genre, 12> kGenres = {{
    {"space opera",
     {"Orion", "the Outer Ring", "Kepler Station", "the Void", "Titan", "the Long Orbit", "Vega",
      "the Drift"},
     {"Star", "Engine", "Signal", "Fleet", "Comet", "Airlock", "Beacon", "Pilot", "Moon", "Armada"},
     {"starships", "aliens", "exile", "first contact", "empire", "gravity", "colonies", "rebellion",
      "cryosleep", "androids"}},
    {"time-travel story",
     {"Tomorrow", "the Ninth Century", "Yesterday", "the Last Hour", "Midsummer 1911",
      "the Broken Year", "Noon", "the Second Age"},
     {"Clock", "Paradox", "Hourglass", "Calendar", "Pendulum", "Echo", "Minute", "Watchmaker",
      "Almanac", "Loop"},
     {"paradoxes", "lost centuries", "regret", "inventors", "parallel lives", "prophecy", "memory",
      "museums", "second chances", "causality"}},
    {"historical novel",
     {"Avignon", "the Silk Road", "Old Prague", "the Winter Court", "Toledo", "the Low Countries",
      "Samarkand", "the Abbey"},
     {"Merchant", "Crown", "Weaver", "Map", "Cathedral", "Courtier", "Ink", "Siege", "Falcon",
      "Scribe"},
     {"plague", "court intrigue", "guilds", "crusades", "manuscripts", "dynasties", "trade routes",
      "heresy", "revolution", "arranged marriage"}},
    {"sea story",
     {"Brackwater", "Cape Sorrow", "the Narrow Sea", "Gull Rock", "the Trade Winds", "Salt Harbour",
      "the Deep", "Whaler's Bay"},
     {"Lantern", "Anchor", "Tide", "Mast", "Bell", "Captain", "Harpoon", "Reef", "Sail",
      "Lighthouse"},
     {"storms", "mutiny", "shipwreck", "whaling", "smugglers", "islands", "navigation",
      "lighthouses", "pirates", "fishing towns"}},
    {"adventure",
     {"the Amazon", "Mount Kaveri", "the Lost Valley", "the Sahara", "the Ice Shelf", "the Canyon",
      "Borneo", "the High Pass"},
     {"Compass", "Expedition", "Temple", "Rope", "Idol", "Trail", "Caravan", "Summit", "Machete",
      "Tiger"},
     {"treasure", "jungle", "survival", "mountaineering", "ruins", "deserts", "explorers",
      "wild animals", "rivers", "rivals"}},
    {"thriller",
     {"Berlin", "the Embassy", "Platform Nine", "Zurich", "the Safe House", "Border Street",
      "the Ministry", "Tunnel Six"},
     {"Cipher", "Asset", "Dossier", "Traitor", "Courier", "Alibi", "Trigger", "Passport", "Witness",
      "Sniper"},
     {"spies", "conspiracy", "hostages", "double agents", "blackmail", "surveillance", "assassins",
      "leaked secrets", "manhunts", "sabotage"}},
    {"crime novel",
     {"Harrow Lane", "the Docklands", "Precinct Four", "Ashgrove", "the Canal", "Mercer Street",
      "the Quarry", "Northgate"},
     {"Detective", "Corpse", "Confession", "Dagger", "Suspect", "Verdict", "Fingerprint", "Motive",
      "Badge", "Grave"},
     {"murder", "forensics", "cold cases", "corruption", "inspectors", "gangs", "interrogation",
      "missing persons", "courtrooms", "serial killers"}},
    {"cosy mystery",
     {"Little Wick", "the Vicarage", "Rosemary Cottage", "the Tea Room", "Puddleby",
      "the Flower Show", "Thistle Farm", "the Village Hall"},
     {"Teapot", "Marmalade", "Knitting Needle", "Spaniel", "Scone", "Vicar", "Bookshop", "Rosebush",
      "Umbrella", "Postcard"},
     {"amateur sleuths", "village gossip", "poisoned cake", "inheritance", "cats", "gardens",
      "antique shops", "retired ladies", "church fetes", "puzzles"}},
    {"romance",
     {"Lisbon", "the Orchard", "Bluebell Hill", "Paris", "the Vineyard", "Magnolia Square",
      "the Beach House", "Verona"},
     {"Letter", "Kiss", "Bride", "Promise", "Waltz", "Violin", "Heart", "Summer", "Ribbon",
      "Stranger"},
     {"weddings", "old flames", "love letters", "bakeries", "heartbreak", "neighbours", "holidays",
      "rivals in love", "reunions", "slow courtship"}},
    {"family saga",
     {"Hollow Farm", "the Big House", "Three Rivers", "Juniper Street", "the Mill", "Eastvale",
      "the Homestead", "Linden Court"},
     {"Daughter", "Inheritance", "Table", "Photograph", "Grandmother", "Orchard", "Brother",
      "Kitchen", "Cradle", "Quilt"},
     {"generations", "siblings", "family secrets", "emigration", "farms", "wars at home",
      "motherhood", "reconciliation", "small towns", "estates"}},
    {"ghost story",
     {"Blackmere", "the Attic", "Wraith Hall", "the Moor", "Room Thirteen", "the Asylum",
      "Crowfield", "the Crypt"},
     {"Ghost", "Mirror", "Candle", "Doll", "Whisper", "Shadow", "Organ", "Raven", "Staircase",
      "Veil"},
     {"hauntings", "seances", "curses", "old houses", "possession", "graveyards", "nightmares",
      "vanished children", "fog", "portraits"}},
    {"epic fantasy",
     {"Eldermoor", "the Iron Gate", "Dragonsreach", "the Silver Wood", "Karth", "the Sunken Tower",
      "the Nine Hills", "Wyrmfell"},
     {"Sword", "Dragon", "Throne", "Oath", "Spell", "Rune", "Wizard", "Ember", "Shield", "Giant"},
     {"magic", "dragons", "quests", "elves", "dark lords", "prophecies", "swordcraft",
      "fallen kingdoms", "enchanted forests", "apprentices"}},
}};

inline constexpr std::array<std::string_view, 6> kMoods = {"dark",   "humorous",     "tender",
                                                           "lavish", "slow-burning", "breathless"};
inline constexpr std::array<std::string_view, 20> kAdjectives = {
    "Silent",  "Broken",  "Golden", "Last",    "Hidden",   "Crimson", "Forgotten",
    "Burning", "Seventh", "Hollow", "Pale",    "Restless", "Secret",  "Wandering",
    "Frozen",  "Bright",  "Stolen", "Distant", "Crooked",  "Patient"};
inline constexpr std::array<std::string_view, 24> kFirstNames = {
    "Mara",   "Tobias", "Ines",   "Anselm",  "Priya",  "Leopold", "Yuki",  "Odile",
    "Samuel", "Greta",  "Hassan", "Beatriz", "Piers",  "Noor",    "Ivo",   "Celeste",
    "Dmitri", "Rowena", "Kofi",   "Linnea",  "Marcus", "Thea",    "Emeka", "Sunniva"};
inline constexpr std::array<std::string_view, 24> kLastNames = {
    "Quill",    "Ashdown", "Ferreira", "Lindqvist", "Okoro",    "Brandt", "Tanaka",  "Vell",
    "Hargrove", "Moreau",  "Castell",  "Novak",     "Whitlock", "Iyer",   "Santoro", "Drake",
    "Halloran", "Winter",  "Abara",    "Sorensen",  "Pike",     "Duval",  "Marsh",   "Kestrel"};

}  // namespace fovea::engine::synthetic_words
