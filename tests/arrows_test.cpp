// The borders between the folders, read from the #include lines: api -> engine -> ranking | index |
// storage, leaves apart from each other, foreign libraries out of headers that cross a border, no
// file grown out of its one matter.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t kLinesMax = 600;

// Which folders a folder may include besides itself.
const std::map<std::string, std::set<std::string>> kArrows = {
    {"api", {"engine", "ranking", "index", "storage"}},
    {"engine", {"ranking", "index", "storage"}},
    {"ranking", {}},
    {"index", {}},
    {"storage", {}},
};

struct Source {
  std::vector<std::string> own;      // as written between quotes
  std::vector<std::string> foreign;  // between angle brackets, neither the language's nor C's
  std::size_t lines = 0;
};

std::string folder(const std::string& path) { return path.substr(0, path.find('/')); }

// The language's headers have neither a folder nor an ending; whatever else is a library's or the
// system's.
bool of_the_language(const std::string& header) {
  return header.find_first_of("/.") == std::string::npos;
}

std::map<std::string, Source> read_sources(const fs::path& root) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*(?:"([^"]+)\"|<([^>]+)>).*)");
  std::map<std::string, Source> sources;
  for (const auto& [name, allowed] : kArrows) {
    if (!fs::exists(root / name)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / name)) {
      const std::string ending = entry.path().extension().string();
      static const std::set<std::string> kEndings = {".h", ".cpp", ".cuh", ".cu"};
      if (!kEndings.contains(ending)) continue;
      Source& source = sources[fs::relative(entry.path(), root).generic_string()];
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line); ++source.lines) {
        std::smatch match;
        if (!std::regex_match(line, match, kInclude)) continue;
        if (match[1].matched) {
          source.own.push_back(match[1]);
        } else if (!of_the_language(match[2])) {
          source.foreign.push_back(match[2]);
        }
      }
    }
  }
  return sources;
}

// `path` and every header it reaches through includes of ours.
void reach(const std::map<std::string, Source>& sources, const std::string& path,
           std::set<std::string>& reached) {
  const auto found = sources.find(path);
  if (found == sources.end() || !reached.insert(path).second) return;
  for (const std::string& include : found->second.own) reach(sources, include, reached);
}

// One sentence per violation.
std::vector<std::string> violations(const fs::path& root) {
  std::vector<std::string> found;
  const auto sources = read_sources(root);
  for (const auto& [path, source] : sources) {
    const std::string here = folder(path);
    if (source.lines > kLinesMax) {
      found.push_back(path + " has " + std::to_string(source.lines) + " lines; split it (at most " +
                      std::to_string(kLinesMax) + ")");
    }
    for (const std::string& include : source.own) {
      const std::string there = folder(include);
      if (!kArrows.contains(there)) {
        found.push_back(path + " includes \"" + include + "\": write \"folder/file.h\"");
      } else if (there != here && !kArrows.at(here).contains(there)) {
        found.push_back(path + " includes \"" + include + "\" against the arrows");
      } else if (!include.ends_with(".h") && !include.ends_with(".cuh")) {
        found.push_back(path + " includes \"" + include + "\", which is not a header");
      }
      if (there == here) continue;
      std::set<std::string> crossing;
      reach(sources, include, crossing);
      for (const std::string& header : crossing) {
        for (const std::string& foreign : sources.at(header).foreign) {
          found.push_back(header + " includes <" + foreign + "> and is seen from " + path);
        }
      }
    }
  }
  return found;
}

// A tree with the files given, gone at the end of the test.
class Tree {
 public:
  Tree(std::initializer_list<std::pair<std::string, std::string>> files) {
    for (const auto& [path, text] : files) {
      fs::create_directories((root_ / path).parent_path());
      std::ofstream(root_ / path) << text;
    }
  }
  ~Tree() { fs::remove_all(root_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  const fs::path& root() const { return root_; }

 private:
  static fs::path make_root() {
    std::string name = (fs::temp_directory_path() / "fovea_arrows_XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
    return name;
  }
  fs::path root_ = make_root();
};

TEST(Arrows, EveryIncludeOfTheProjectFollowsThem) {
  EXPECT_GE(read_sources(FOVEA_SOURCE_DIR).size(), 30U);  // the tree was found and read
  EXPECT_THAT(violations(FOVEA_SOURCE_DIR), IsEmpty());
}

TEST(Arrows, IncludesAlongThemAreAccepted) {
  const Tree tree{{"storage/db.h", "#include <vector>\n"},
                  {"storage/db.cpp", "#include \"storage/db.h\"\n#include <rocksdb/db.h>\n"},
                  {"engine/engine.cpp", "#include \"storage/db.h\"\n"}};
  EXPECT_THAT(violations(tree.root()), IsEmpty());
}

TEST(Arrows, AnUpwardIncludeIsFound) {
  const Tree tree{{"storage/db.cpp", "#include \"engine/engine.h\"\n"}};
  EXPECT_THAT(violations(tree.root()),
              Contains(AllOf(HasSubstr("storage/db.cpp"), HasSubstr("engine/engine.h"))));
}

TEST(Arrows, ALeafIncludingAnotherIsFound) {
  const Tree tree{{"index/exact.cpp", "  #  include \"ranking/model.h\" // why\n"}};
  EXPECT_THAT(violations(tree.root()), Contains(HasSubstr("against the arrows")));
}

TEST(Arrows, AnIncludeWithoutItsFolderIsFound) {
  const Tree tree{{"index/exact.cpp", "#include \"vector_index.h\"\n"}};
  EXPECT_THAT(violations(tree.root()), Contains(HasSubstr("folder/file.h")));
}

TEST(Arrows, AnIncludedSourceIsFound) {
  const Tree tree{{"index/exact.cpp", "#include \"index/approximate.cpp\"\n"}};
  EXPECT_THAT(violations(tree.root()), Contains(HasSubstr("not a header")));
}

TEST(Arrows, AForeignHeaderBehindABorderIsFoundThroughOtherHeaders) {
  const Tree tree{{"storage/state.h", "#include <rocksdb/db.h>\n"},
                  {"storage/db.h", "#include \"storage/state.h\"\n"},
                  {"engine/engine.cpp", "#include \"storage/db.h\"\n"}};
  EXPECT_THAT(violations(tree.root()),
              Contains(AllOf(HasSubstr("storage/state.h"), HasSubstr("rocksdb/db.h"),
                             HasSubstr("engine/engine.cpp"))));
}

TEST(Arrows, AFileThatGrewTooLongIsFound) {
  const Tree tree{{"api/server.cpp", std::string(kLinesMax + 1, '\n')}};
  EXPECT_THAT(violations(tree.root()), Contains(HasSubstr("601 lines")));
}

}  // namespace
