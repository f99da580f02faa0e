// A setting has one value, from the source that goes first, and every mistake in any source is told
// with its place, its key and what would be right.
#include "api/serve_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace fovea::api {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class ServeSettingsTest : public testing::Test {
 protected:
  /// The settings of a file with these lines under [server], of which the first is line 2.
  ResolvedSettings resolve(const std::string& server, const SettingTexts& flags = {}) {
    return resolve_file("[server]\n" + server + "\n", flags);
  }
  ResolvedSettings resolve_file(const std::string& text, const SettingTexts& flags = {}) {
    std::ofstream(file) << text;
    complaints.clear();
    const Config config = read_config(file, complaints);
    return resolve_settings(flags, "fovea.toml", config.server);
  }
  void TearDown() override {
    for (const char* variable : {"FOVEA_SERVER_THREADS", "FOVEA_SERVER_INSECURE",
                                 "FOVEA_SERVER_WAIT_MAX_MS", "FOVEA_SERVER_THRIFT"}) {
      ::unsetenv(variable);
    }
    std::filesystem::remove(file);
  }

  std::filesystem::path file = std::filesystem::path(testing::TempDir()) /
                               ("settings-" + std::to_string(::getpid()) + ".toml");
  std::vector<std::string> complaints;  // of reading the file
};

TEST_F(ServeSettingsTest, WithoutAnySourceTheDefaultsHold) {
  const ResolvedSettings resolved = resolve("");
  const ServerOptions standard;
  EXPECT_THAT(resolved.complaints, IsEmpty());
  EXPECT_EQ(resolved.settings.thrift, "127.0.0.1:7070");
  EXPECT_EQ(resolved.settings.console, "on");
  EXPECT_EQ(resolved.settings.server.requests_max, standard.requests_max);
  EXPECT_EQ(resolved.settings.server.drain_timeout, standard.drain_timeout);
  EXPECT_EQ(resolved.sources.at("requests_max"), "default");
}

TEST_F(ServeSettingsTest, EveryKeyOfTheFileReachesItsOption) {
  const ResolvedSettings resolved = resolve(R"(thrift = "127.0.0.1:1"
http = "[::1]:2"
insecure = true
threads = 3
device = "cpu"
gpu_memory_mib = 4
deadline_ms = 5
wait_max_ms = 6
requests_max = 7
connections_max = 8
pipelined_max = 9
frame_bytes_max = 1010
reply_bytes_max = 1100
unsent_bytes_max = 1200
idle_timeout_ms = 13
read_timeout_ms = 14
write_timeout_ms = 15
drain_timeout_ms = 16
log_format = "json"
log_requests = "slow:17"
search_language = "german"
search_attributes = ["brand", "a, b"]
words_weight = 3
vectors_weight = 0.25
console = "read-only")");
  ASSERT_THAT(resolved.complaints, ElementsAre(HasSubstr("frame_bytes_max is the number 1010")));
  const ServeSettings& settings = resolved.settings;
  EXPECT_EQ(settings.thrift, "127.0.0.1:1");
  EXPECT_EQ(settings.http, "[::1]:2");
  EXPECT_EQ(settings.device, "cpu");
  EXPECT_EQ(settings.gpu.memory_mib_max, 4U);
  EXPECT_EQ(settings.log_format, "json");
  EXPECT_EQ(settings.log_requests, "slow:17");
  EXPECT_EQ(settings.search.language, "german");
  EXPECT_THAT(settings.search.attributes, ElementsAre("brand", "a, b"));
  EXPECT_EQ(settings.search.weights.words, 3);
  EXPECT_EQ(settings.search.weights.vectors, 0.25);
  EXPECT_EQ(settings.console, "read-only");
  const ServerOptions& server = settings.server;
  EXPECT_TRUE(server.insecure);
  EXPECT_EQ(server.threads, 3U);
  EXPECT_EQ(server.deadline_default, milliseconds{5});
  EXPECT_EQ(server.wait_max, milliseconds{6});
  EXPECT_EQ(server.requests_max, 7U);
  EXPECT_EQ(server.connections_max, 8U);
  EXPECT_EQ(server.pipelined_max, 9U);
  EXPECT_EQ(server.frame_bytes_max, ServerOptions().frame_bytes_max);
  EXPECT_EQ(server.reply_bytes_max, 1100U);
  EXPECT_EQ(server.unsent_bytes_max, 1200U);
  EXPECT_EQ(server.idle_timeout, milliseconds{13});
  EXPECT_EQ(server.read_timeout, milliseconds{14});
  EXPECT_EQ(server.write_timeout, milliseconds{15});
  EXPECT_EQ(server.drain_timeout, milliseconds{16});
  EXPECT_EQ(resolved.sources.at("log_requests"), "fovea.toml:21");
}

TEST_F(ServeSettingsTest, AFlagGoesBeforeTheEnvironmentAndThatBeforeTheFile) {
  const std::string in_file = "threads = 2\nwait_max_ms = 2\ninsecure = true\n";
  ::setenv("FOVEA_SERVER_THREADS", "3", 1);
  ::setenv("FOVEA_SERVER_WAIT_MAX_MS", "3", 1);
  ::setenv("FOVEA_SERVER_INSECURE", "false", 1);
  const ResolvedSettings resolved = resolve(in_file, {{"threads", "4"}});
  EXPECT_THAT(resolved.complaints, IsEmpty());
  EXPECT_EQ(resolved.settings.server.threads, 4U);
  EXPECT_EQ(resolved.sources.at("threads"), "--threads");
  EXPECT_EQ(resolved.settings.server.wait_max, milliseconds{3});
  EXPECT_EQ(resolved.sources.at("wait_max_ms"), "FOVEA_SERVER_WAIT_MAX_MS");
  EXPECT_FALSE(resolved.settings.server.insecure);
}

TEST_F(ServeSettingsTest, AMistakeIsToldWithItsLineItsKeyAndWhatWouldBeRight) {
  struct Case {
    std::string line;
    std::string said;
  };
  for (const Case& wrong : std::vector<Case>{
           {"threads = \"4\"", "threads is the string \"4\"; a whole number from 0 to 1024"},
           {"threads = 4.0", "threads is the number 4; a whole number from 0 to 1024"},
           {"threads = -1", "threads is the number -1; a whole number from 0 to 1024"},
           {"threads = 1025", "threads is the number 1025; a whole number from 0 to 1024"},
           {"threads = true", "threads is true; a whole number"},
           {"threads = [1]", "threads is a list; a whole number"},
           {"threads = {a = 1}", "threads is a table; a whole number"},
           {"threads = 2020-01-01", "threads is a date or time; a whole number"},
           {"requests_max = 0", "requests_max is the number 0; a whole number from 1"},
           {"reply_bytes_max = 2147483648", "a whole number from 1024 to 2147483647"},
           {"idle_timeout_ms = 9223372036854775807", "a whole number from 0 to 86400000"},
           {"insecure = \"yes\"", "insecure is the string \"yes\"; true or false is expected"},
           {"thrift = 7070", "thrift is the number 7070; a string is expected"},
           {"thrift = \"here\"", "HOST:PORT is expected"},
           {"http = \"[::1]:70000\"", "HOST:PORT is expected"},
           {"device = \"tpu\"", "cpu, gpu or auto is"},
           {"console = \"readonly\"", "on, read-only or off does"},
           {"console = true", "console is true; a string is expected"},
           {"log_format = \"xml\"", "text or json is"},
           {"log_requests = \"slow\"", "none, all, or slow:MS"},
           {"search_language = \"klingon\"",
            "'klingon' has no stems; one of these is expected: none"},
           {"search_attributes = \"brand\"", "is the string \"brand\"; a list of strings, such as"},
           {"search_attributes = [\"a\", 1]", "search_attributes is a list; a list of strings"},
           {"search_attributes = [\"a\", \"\"]", "is the list [\"a\", \"\"]; an attribute in"},
           {"words_weight = -1", "words_weight is the number -1; a number from 0 to 1000"},
           {"vectors_weight = nan", "vectors_weight is the number nan; a number from 0 to 1000"},
           {"vectors_weight = \"2\"", "vectors_weight is the string \"2\"; a number from 0"},
           {"threads = [\"4\"]", "threads is the list [\"4\"]; a whole number from 0 to 1024"},
           {"idle_timeout = 5", "[server] has no key 'idle_timeout'; known are thrift, http"},
       }) {
    const ResolvedSettings resolved = resolve("\n" + wrong.line);
    EXPECT_THAT(resolved.complaints,
                ElementsAre(AllOf(StartsWith("fovea.toml:3: "), HasSubstr(wrong.said))))
        << wrong.line;
    EXPECT_FALSE(resolved.flag_is_wrong);
  }
}

TEST_F(ServeSettingsTest, FlagsAndVariablesAreReadAsStrictly) {
  for (const auto* text : {"", " 4", "4 ", "4.0", "0x4", "four", "99999999999999999999"}) {
    EXPECT_THAT(resolve("", {{"threads", text}}).complaints,
                ElementsAre(AllOf(StartsWith("--threads is \""), HasSubstr("a whole number"))));
    ::setenv("FOVEA_SERVER_THREADS", text, 1);
    EXPECT_THAT(resolve("").complaints,
                ElementsAre(StartsWith("FOVEA_SERVER_THREADS: threads is")));
    ::unsetenv("FOVEA_SERVER_THREADS");
  }
  EXPECT_TRUE(resolve("", {{"threads", "x"}}).flag_is_wrong);
  ::setenv("FOVEA_SERVER_INSECURE", "1", 1);
  EXPECT_THAT(resolve("").complaints, ElementsAre(HasSubstr("true or false is expected")));
}

TEST_F(ServeSettingsTest, ASearchThatFindsNothingIsRefused) {
  EXPECT_THAT(resolve("words_weight = 0\nvectors_weight = 0.0").complaints,
              ElementsAre(HasSubstr("words_weight and vectors_weight are both 0")));
}

TEST_F(ServeSettingsTest, WhoServesNothingReadsTheSettingsOfTheSearchAlone) {
  std::ofstream(file) << "[server]\nthreads = \"four\"\nbeer = 1\nsearch_language = \"french\"\n"
                         "words_weight = 4\n";
  const Config config = read_config(file);
  const auto search = resolve_search({{"words_weight", "5"}, {"search_attributes", "brand,author"}},
                                     file, config.server);
  EXPECT_EQ(search.language, "french");
  EXPECT_THAT(search.attributes, ElementsAre("brand", "author"));
  EXPECT_EQ(search.weights.words, 5);
  EXPECT_EQ(search.weights.vectors, engine::FusionWeights().vectors);
  EXPECT_EQ(to_json(search),
            (boost::json::object{{"search_language", "french"},
                                 {"search_attributes", boost::json::array{"brand", "author"}},
                                 {"words_weight", 5.0},
                                 {"vectors_weight", 1.0},
                                 {"query_attention", 1.0}}));
  for (const auto& [key, text, said] : std::vector<std::array<std::string, 3>>{
           {"search_language", "klingon",
            "--search-language is \"klingon\"; the language 'klingon'"},
           {"search_attributes", "a,", "--search-attributes is \"a,\"; an attribute in the list"},
           {"words_weight", "1x", "--words-weight is \"1x\"; a number from 0 to 1000"},
           {"words_weight", "inf", "a number from 0 to 1000"},
           {"words_weight", "", "a number from 0 to 1000"}}) {
    try {
      resolve_search({{key, text}}, {}, {});
      FAIL() << said;
    } catch (const std::invalid_argument& refused) {
      EXPECT_THAT(refused.what(), HasSubstr(said));
    }
  }
  std::ofstream(file) << "[server]\nsearch_language = 5\n";
  EXPECT_THROW(resolve_search({}, file, read_config(file).server), std::runtime_error);
}

TEST_F(ServeSettingsTest, EveryMistakeIsToldAtOnceWhoeverWins) {
  ::setenv("FOVEA_SERVER_THRIFT", "nowhere", 1);
  const ResolvedSettings resolved =
      resolve("threads = -1\nbeer = 1\nthrift = 5", {{"threads", "2"}, {"thrift", "127.0.0.1:0"}});
  EXPECT_EQ(resolved.complaints.size(), 4U);
  EXPECT_EQ(resolved.settings.server.threads, 2U);
}

TEST_F(ServeSettingsTest, TheRestOfTheFileIsReadBehindAMistake) {
  resolve_file("[actions.skip]\nweight = \"low\"\nworth = 1\n[actions.view]\nseen = 0\n[sever]\n");
  EXPECT_EQ(complaints.size(), 4U);
  resolve_file("server = 5\nactions = 6\n");
  EXPECT_THAT(complaints, testing::UnorderedElementsAre(
                              HasSubstr(":1: server is the number 5; a table is expected"),
                              HasSubstr(":2: actions is the number 6; a table is expected")));
  resolve_file("[server\n");
  EXPECT_THAT(complaints, ElementsAre(HasSubstr(":1: ")));
}

TEST_F(ServeSettingsTest, WhatIsPrintedIsReadAgainAsTheSame) {
  const ResolvedSettings first = resolve(
      "http = \"127.0.0.1:0\"\nwait_max_ms = 0\ninsecure = true\n"
      "search_attributes = [\"a \\\"b\\\"\"]\nvectors_weight = 1e-7",
      {{"threads", "7"}});
  ASSERT_THAT(first.complaints, IsEmpty());
  const std::string printed = to_toml(first);
  EXPECT_THAT(printed, HasSubstr("# --threads\n"));
  EXPECT_THAT(printed, HasSubstr("# fovea.toml:2\n"));
  const ResolvedSettings second = resolve_file(printed);
  EXPECT_THAT(complaints, IsEmpty());
  EXPECT_THAT(second.complaints, IsEmpty());
  EXPECT_EQ(second.settings.http, "127.0.0.1:0");
  EXPECT_EQ(second.settings.server.threads, 7U);
  EXPECT_EQ(second.settings.server.wait_max, milliseconds{0});
  EXPECT_TRUE(second.settings.server.insecure);
  EXPECT_THAT(second.settings.search.attributes, ElementsAre("a \"b\""));
  EXPECT_EQ(second.settings.search.weights.vectors, 1e-7);
}

}  // namespace
}  // namespace fovea::api
