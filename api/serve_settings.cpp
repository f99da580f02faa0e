// One table, from which flags, environment, file and the printed settings follow.
#include "api/serve_settings.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>

#include "api/address.h"
#include "api/console.h"
#include "api/log.h"
#include "api/request_log.h"
#include "index/word_reader.h"

namespace fovea::api {
namespace {

using std::chrono::milliseconds;

/// Where a setting's value lies. A function, so that one table serves every ServeSettings.
using Texts = std::vector<std::string>;
using Place = std::variant<std::string& (*)(ServeSettings&), std::size_t& (*)(ServeSettings&),
                           milliseconds& (*)(ServeSettings&), bool& (*)(ServeSettings&),
                           double& (*)(ServeSettings&), Texts& (*)(ServeSettings&)>;

struct Setting {
  std::string_view key;
  std::string_view flags;
  std::string_view type;
  std::string_view group;
  std::string_view help;
  Place place;
  std::int64_t min = 0;  ///< Of numbers.
  std::int64_t max = 0;
  void (*check)(const std::string&) =
      nullptr;  ///< Of texts, each of a list; throws std::invalid_argument. Null: any will do.
};

constexpr std::string_view kListening = "Listening";
constexpr std::string_view kLimits = "Limits";
constexpr std::string_view kTimeouts = "Timeouts";
constexpr std::string_view kSearch = "Search";
constexpr std::string_view kLog = "Log";
constexpr std::string_view kMachine = "Machine";

constexpr std::int64_t kWeightMax = 1000;
constexpr std::int64_t kDayMs = 86'400'000;
constexpr std::int64_t kMinuteMs = 60'000;
constexpr std::int64_t kMessageBytesMin = 1024;
constexpr std::int64_t kFrameBytesMax = std::int64_t{256} << 20;
/// Thrift's memory buffers hold less than 2^31 bytes.
constexpr std::int64_t kReplyBytesMax = (std::int64_t{1} << 31) - 1;

void check_address(const std::string& text) { parse_host_port(text); }

void check_device(const std::string& text) {
  if (text != "cpu" && text != "gpu" && text != "auto") {
    throw std::invalid_argument(
        fmt::format("'{}' is nothing to rank on; cpu, gpu or auto is", text));
  }
}

void check_language(const std::string& text) { const index::Stemmer known(text); }

void check_attribute(const std::string& name) {
  if (name.empty()) throw std::invalid_argument("an attribute in the list has no name");
}

const std::array kSettings = {
    Setting{"thrift", "--thrift", "HOST:PORT", kListening,
            "Binary or compact protocol, framed or not; port 0: any free one",
            +[](ServeSettings& to) -> std::string& { return to.thrift; }, 0, 0, check_address},
    Setting{"http", "--http", "HOST:PORT", kListening,
            "JSON over HTTP, health and metrics; port 0: any free one; empty: no such port",
            +[](ServeSettings& to) -> std::string& { return to.http; }, 0, 0,
            [](const std::string& text) {
              if (!text.empty()) check_address(text);
            }},
    Setting{"console", "--console", "WHAT", kListening,
            "The page at the HTTP port's address, for a browser: on, read-only (it changes "
            "nothing), or off",
            +[](ServeSettings& to) -> std::string& { return to.console; }, 0, 0,
            [](const std::string& text) { parse_console_mode(text); }},
    Setting{"insecure", "--insecure", "", kListening,
            "Let other machines connect, without encryption",
            +[](ServeSettings& to) -> bool& { return to.server.insecure; }},
    Setting{"tls_cert", "--tls-cert", "FILE", kListening,
            "Encrypt both ports, TLS 1.2 or newer: certificate chain, PEM",
            +[](ServeSettings& to) -> std::string& { return to.tls_cert; }},
    Setting{"tls_key", "--tls-key", "FILE", kListening, "The certificate's key, PEM",
            +[](ServeSettings& to) -> std::string& { return to.tls_key; }},
    Setting{"tls_client_ca", "--tls-client-ca", "FILE", kListening,
            "Serve only clients with a certificate that is signed by one of these, PEM",
            +[](ServeSettings& to) -> std::string& { return to.tls_client_ca; }},
    Setting{"token_file", "--token-file", "FILE", kListening,
            "Bearer tokens, one a line: what changes the store needs one over HTTP, and a client's "
            "certificate over Thrift",
            +[](ServeSettings& to) -> std::string& { return to.token_file; }},
    Setting{"threads", "--threads", "N", kMachine,
            "Answer so many requests at once; 0: one a core, or 64 with a GPU",
            +[](ServeSettings& to) -> std::size_t& { return to.server.threads; }, 0, 1024},
    Setting{"device", "--device", "NAME", kMachine,
            "What ranks: cpu, gpu (the first NVIDIA GPU), or auto: that GPU where one answers",
            +[](ServeSettings& to) -> std::string& { return to.device; }, 0, 0, check_device},
    Setting{"gpu_memory_mib", "--gpu-memory,--gpu-memory-mib", "MIB", kMachine,
            "Of the GPU's memory, what models may take; 0: nine tenths of what is free",
            +[](ServeSettings& to) -> std::size_t& { return to.gpu.memory_mib_max; }, 0,
            std::int64_t{1} << 24},
    Setting{"store_memory_mib", "--store-memory-mib", "MIB", kMachine,
            "For what the store has read and not yet written into tables; models need more beside",
            +[](ServeSettings& to) -> std::size_t& { return to.store_memory_mib; }, 16,
            std::int64_t{1} << 24},
    Setting{"deadline_ms", "--deadline-ms", "MS", kLimits,
            "Deadline of a request that names none; 0: none",
            +[](ServeSettings& to) -> milliseconds& { return to.server.deadline_default; }, 0,
            kMinuteMs},
    Setting{"wait_max_ms", "--wait-max-ms", "MS", kLimits,
            "Refuse a request that would wait longer for its turn; 0: requests_max alone says",
            +[](ServeSettings& to) -> milliseconds& { return to.server.wait_max; }, 0, kMinuteMs},
    Setting{"requests_max", "--requests-max", "N", kLimits,
            "Requests being answered or waiting, a port; further ones are refused",
            +[](ServeSettings& to) -> std::size_t& { return to.server.requests_max; }, 1,
            1'000'000},
    Setting{"connections_max", "--connections-max", "N", kLimits,
            "Open connections, a port; further ones are closed at once",
            +[](ServeSettings& to) -> std::size_t& { return to.server.connections_max; }, 1,
            1'000'000},
    Setting{"pipelined_max", "--pipelined-max", "N", kLimits,
            "Requests of one Thrift connection being answered or waiting",
            +[](ServeSettings& to) -> std::size_t& { return to.server.pipelined_max; }, 1, 4096},
    Setting{"frame_bytes_max", "--frame-bytes-max", "BYTES", kLimits,
            "Longest request; over HTTP a body is at most 1 MiB all the same",
            +[](ServeSettings& to) -> std::size_t& { return to.server.frame_bytes_max; },
            kMessageBytesMin, kFrameBytesMax},
    Setting{"reply_bytes_max", "--reply-bytes-max", "BYTES", kLimits,
            "Longest answer; a longer one becomes an error",
            +[](ServeSettings& to) -> std::size_t& { return to.server.reply_bytes_max; },
            kMessageBytesMin, kReplyBytesMax},
    Setting{"unsent_bytes_max", "--unsent-bytes-max", "BYTES", kLimits,
            "Answers that a Thrift connection has not taken; beyond, no more is read from it",
            +[](ServeSettings& to) -> std::size_t& { return to.server.unsent_bytes_max; },
            kMessageBytesMin, kReplyBytesMax},
    Setting{"idle_timeout_ms", "--idle-timeout-ms", "MS", kTimeouts,
            "A connection's, between requests; 0: none",
            +[](ServeSettings& to) -> milliseconds& { return to.server.idle_timeout; }, 0, kDayMs},
    Setting{"read_timeout_ms", "--read-timeout-ms", "MS", kTimeouts,
            "From a request's first byte to its last; 0: none",
            +[](ServeSettings& to) -> milliseconds& { return to.server.read_timeout; }, 0, kDayMs},
    Setting{"write_timeout_ms", "--write-timeout-ms", "MS", kTimeouts,
            "Until a whole answer is taken; 0: none",
            +[](ServeSettings& to) -> milliseconds& { return to.server.write_timeout; }, 0, kDayMs},
    Setting{"drain_timeout_ms", "--drain-timeout-ms", "MS", kTimeouts,
            "How long the end waits for what is being answered; 0: as long as it takes",
            +[](ServeSettings& to) -> milliseconds& { return to.server.drain_timeout; }, 0, kDayMs},
    Setting{"search_language", "--search-language", "NAME", kSearch,
            "Whose word endings are taken off in texts and queries; none: nobody's",
            +[](ServeSettings& to) -> std::string& { return to.search.language; }, 0, 0,
            check_language},
    Setting{"search_attributes", "--search-attributes", "NAMES", kSearch,
            "Attributes whose texts are searched behind an item's own, with commas between",
            +[](ServeSettings& to) -> Texts& { return to.search.attributes; }, 0, 0,
            check_attribute},
    Setting{"words_weight", "--words-weight", "W", kSearch,
            "What the search by words counts for in the fused list; 0: nothing",
            +[](ServeSettings& to) -> double& { return to.search.weights.words; }, 0, kWeightMax},
    Setting{"vectors_weight", "--vectors-weight", "W", kSearch,
            "What the search by vectors counts for in it; 0: nothing",
            +[](ServeSettings& to) -> double& { return to.search.weights.vectors; }, 0, kWeightMax},
    Setting{"query_attention", "--query-attention", "W", kSearch,
            "How much more a user's behaviours count that have to do with the query; 0: no more",
            +[](ServeSettings& to) -> double& { return to.search.query_attention; }, 0, kWeightMax},
    Setting{"log_format", "--log-format", "FORMAT", kLog,
            "Of the log on stderr: text, or json, an object a line",
            +[](ServeSettings& to) -> std::string& { return to.log_format; }, 0, 0,
            [](const std::string& text) { parse_log_format(text); }},
    Setting{"log_requests", "--log-requests", "WHICH", kLog,
            "Requests with a line in the log: none, all, or slow:MS, those that took MS "
            "milliseconds, failed or were degraded",
            +[](ServeSettings& to) -> std::string& { return to.log_requests; }, 0, 0,
            [](const std::string& text) { parse_log_requests(text); }},
};

const Setting* find_setting(std::string_view key) {
  const auto* found = std::find_if(kSettings.begin(), kSettings.end(),
                                   [&](const Setting& setting) { return setting.key == key; });
  return found == kSettings.end() ? nullptr : found;
}

std::string variable_of(const Setting& setting) {
  std::string name = "FOVEA_SERVER_";
  for (const char c : setting.key) name += c == '_' ? '_' : static_cast<char>(c - 'a' + 'A');
  return name;
}

using Value = decltype(FileSetting::value);

std::string expected(const Setting& setting) {
  if (std::holds_alternative<std::string& (*)(ServeSettings&)>(setting.place)) return "a string";
  if (std::holds_alternative<bool& (*)(ServeSettings&)>(setting.place)) return "true or false";
  if (std::holds_alternative<Texts& (*)(ServeSettings&)>(setting.place)) {
    return "a list of strings, such as [\"brand\", \"author\"],";
  }
  const bool real = std::holds_alternative<double& (*)(ServeSettings&)>(setting.place);
  return fmt::format("a {}number from {} to {}", real ? "" : "whole ", setting.min, setting.max);
}

Texts split_at_commas(std::string_view text) {
  Texts parts;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) parts.emplace_back();  // nothing behind the last comma is a mistake too
  }
  return parts;
}

template <typename Number>
Value read_number(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return text;
  return number;
}

/// What a flag or a variable says, which have no types. What is no value of the setting stays text.
Value parse(const Setting& setting, const std::string& text) {
  if (std::holds_alternative<std::string& (*)(ServeSettings&)>(setting.place)) return text;
  if (std::holds_alternative<bool& (*)(ServeSettings&)>(setting.place)) {
    if (text == "true") return true;
    if (text == "false") return false;
    return text;
  }
  if (std::holds_alternative<Texts& (*)(ServeSettings&)>(setting.place)) {
    return split_at_commas(text);
  }
  if (std::holds_alternative<double& (*)(ServeSettings&)>(setting.place)) {
    return read_number<double>(text);
  }
  return read_number<std::int64_t>(text);
}

std::string quoted(const std::string& text) {
  std::string result;
  append_json_string(result, text);  // a basic string of TOML has the same escapes
  return result;
}

/// Sets it, or returns what would be right.
std::optional<std::string> set(ServeSettings& to, const Setting& setting, const Value& value) {
  const auto wrong = [&] { return fmt::format("{} is expected", expected(setting)); };
  return std::visit(
      [&](auto place) -> std::optional<std::string> {
        auto& here = place(to);
        using Here = std::remove_reference_t<decltype(here)>;
        if constexpr (std::is_same_v<Here, double>) {
          const auto* real = std::get_if<double>(&value);
          const auto* whole = std::get_if<std::int64_t>(&value);
          if (real == nullptr && whole == nullptr) return wrong();
          const double number = real != nullptr ? *real : static_cast<double>(*whole);
          const bool in_range = number >= static_cast<double>(setting.min) &&
                                number <= static_cast<double>(setting.max);
          if (!in_range) return wrong();  // NaN too
          here = number;
        } else if constexpr (std::is_same_v<Here, std::string> || std::is_same_v<Here, bool> ||
                             std::is_same_v<Here, Texts>) {
          const auto* given = std::get_if<Here>(&value);
          if (given == nullptr) return wrong();
          try {
            if constexpr (std::is_same_v<Here, std::string>) {
              if (setting.check != nullptr) setting.check(*given);
            } else if constexpr (std::is_same_v<Here, Texts>) {
              for (const auto& one : *given) setting.check(one);
            }
          } catch (const std::invalid_argument& error) {
            return error.what();
          }
          here = *given;
        } else {
          const auto* number = std::get_if<std::int64_t>(&value);
          if (number == nullptr || *number < setting.min || *number > setting.max) return wrong();
          here = Here(*number);
        }
        return std::nullopt;
      },
      setting.place);
}

std::string toml_value(ServeSettings& settings, const Setting& setting) {
  return std::visit(
      [&](auto place) -> std::string {
        const auto& here = place(settings);
        using Here = std::remove_cvref_t<decltype(here)>;
        if constexpr (std::is_same_v<Here, std::string>) {
          return quoted(here);
        } else if constexpr (std::is_same_v<Here, Texts>) {
          std::string list;
          for (const auto& one : here) list += (list.empty() ? "" : ", ") + quoted(one);
          return fmt::format("[{}]", list);
        } else if constexpr (std::is_same_v<Here, milliseconds>) {
          return std::to_string(here.count());
        } else {
          return fmt::format("{}", here);
        }
      },
      setting.place);
}

/// One source after the other, the weakest first.
class Resolution {
 public:
  Resolution() {
    for (const Setting& setting : kSettings) sources(setting) = "default";
  }

  void take(const Setting& setting, const Value& value, const std::string& source,
            const std::string& shown, bool flag = false) {
    const auto wrong = set(resolved_.settings, setting, value);
    if (!wrong) {
      sources(setting) = source;
    } else {
      resolved_.complaints.push_back(
          flag ? fmt::format("{} is {}; {}", source, shown, *wrong)
               : fmt::format("{}: {} is {}; {}", source, setting.key, shown, *wrong));
      resolved_.flag_is_wrong |= flag;
    }
  }
  void complain(std::string what) { resolved_.complaints.push_back(std::move(what)); }
  ResolvedSettings result() { return std::move(resolved_); }

 private:
  std::string& sources(const Setting& setting) {
    return resolved_.sources[std::string(setting.key)];
  }

  ResolvedSettings resolved_;
};

std::string known_keys() {
  std::vector<std::string_view> keys;
  for (const Setting& setting : kSettings) keys.push_back(setting.key);
  return fmt::format("{}", fmt::join(keys, ", "));
}

std::string first_flag(const Setting& setting) {
  return std::string(setting.flags.substr(0, setting.flags.find(',')));
}

/// Of one group of settings; empty: of all.
void add_flags_of(std::string_view group, CLI::App& command, SettingTexts& given) {
  ServeSettings defaults;
  for (const Setting& setting : kSettings) {
    if (!group.empty() && setting.group != group) continue;
    const std::string key(setting.key);
    const std::string flags(setting.flags);
    const std::string help(setting.help);
    if (std::holds_alternative<bool& (*)(ServeSettings&)>(setting.place)) {
      command.add_flag_callback(
                 flags, [&given, key] { given[key] = "true"; }, help)
          ->group(std::string(setting.group));
      continue;
    }
    std::string standard = toml_value(defaults, setting);
    std::erase(standard, '"');
    if (standard == "[]") standard = "none";
    command
        .add_option_function<std::string>(
            flags, [&given, key](const std::string& text) { given[key] = text; }, help)
        ->default_str(standard)
        ->type_name(std::string(setting.type))
        ->group(std::string(setting.group));
  }
}

ResolvedSettings resolve_group(std::string_view group, const SettingTexts& flags,
                               const std::filesystem::path& file,
                               const std::vector<FileSetting>& from_file) {
  const auto is_of = [&](const Setting& setting) {
    return group.empty() || setting.group == group;
  };
  Resolution resolution;
  for (const FileSetting& given : from_file) {
    const std::string source = fmt::format("{}:{}", file.string(), given.line);
    if (const Setting* setting = find_setting(given.key)) {
      if (is_of(*setting)) resolution.take(*setting, given.value, source, given.shown);
    } else if (group.empty()) {
      resolution.complain(fmt::format("{}: [server] has no key '{}'; known are {}", source,
                                      given.key, known_keys()));
    }
  }
  for (const Setting& setting : kSettings) {
    if (!is_of(setting)) continue;
    const std::string variable = variable_of(setting);
    if (const char* text = std::getenv(variable.c_str())) {
      resolution.take(setting, parse(setting, text), variable, fmt::format("\"{}\"", text));
    }
  }
  for (const Setting& setting : kSettings) {
    const auto found = flags.find(setting.key);
    if (found == flags.end()) continue;
    resolution.take(setting, parse(setting, found->second), first_flag(setting),
                    fmt::format("\"{}\"", found->second), true);
  }
  ResolvedSettings resolved = resolution.result();
  const engine::FusionWeights& weights = resolved.settings.search.weights;
  if (weights.words == 0 && weights.vectors == 0) {
    resolved.complaints.emplace_back(
        "words_weight and vectors_weight are both 0, and a query would find nothing; one of them "
        "above 0 is expected");
  }
  return resolved;
}

}  // namespace

void add_setting_flags(CLI::App& command, SettingTexts& given) { add_flags_of("", command, given); }
void add_search_flags(CLI::App& command, SettingTexts& given) {
  add_flags_of(kSearch, command, given);
}

ResolvedSettings resolve_settings(const SettingTexts& flags, const std::filesystem::path& file,
                                  const std::vector<FileSetting>& from_file) {
  return resolve_group("", flags, file, from_file);
}

engine::SearchOptions resolve_search(const SettingTexts& flags, const std::filesystem::path& file,
                                     const std::vector<FileSetting>& from_file) {
  const ResolvedSettings resolved = resolve_group(kSearch, flags, file, from_file);
  require(resolved.complaints, resolved.flag_is_wrong);
  return resolved.settings.search;
}

void require(const std::vector<std::string>& complaints, bool flag_is_wrong) {
  if (complaints.empty()) return;
  const std::string all = fmt::format("{}", fmt::join(complaints, "\nfovea: "));
  if (flag_is_wrong) throw std::invalid_argument(all);
  throw std::runtime_error(all);
}

boost::json::object to_json(const engine::SearchOptions& search) {
  ServeSettings settings;
  settings.search = search;
  boost::json::object by_key;
  for (const Setting& setting : kSettings) {
    if (setting.group != kSearch) continue;
    by_key[setting.key] = std::visit(
        [&](auto place) -> boost::json::value {
          const auto& here = place(settings);
          if constexpr (std::is_same_v<std::remove_cvref_t<decltype(here)>, milliseconds>) {
            return here.count();
          } else {
            return boost::json::value_from(here);
          }
        },
        setting.place);
  }
  return by_key;
}

std::string to_toml(const ResolvedSettings& resolved) {
  constexpr std::size_t kCommentAt = 36;
  ServeSettings settings = resolved.settings;
  std::string toml = "[server]\n";
  for (const Setting& setting : kSettings) {
    const std::string line = fmt::format("{} = {}", setting.key, toml_value(settings, setting));
    toml +=
        fmt::format("{:<{}}  # {}\n", line, kCommentAt, resolved.sources.find(setting.key)->second);
  }
  return toml;
}

}  // namespace fovea::api
