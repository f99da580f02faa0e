// fovea rank: flags, which lines are this run's, and what is said on the way. Reading, answering
// and writing are compression's, batch_answer's and batch_output's.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <deque>
#include <istream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "api/batch_answer.h"
#include "api/batch_output.h"
#include "api/commands.h"
#include "api/compression.h"
#include "api/config.h"
#include "api/device_flag.h"
#include "api/handler.h"
#include "api/json.h"
#include "api/lines.h"
#include "api/ordered_work.h"
#include "api/progress.h"
#include "api/serve_settings.h"
#include "engine/engine.h"
#include "engine/pipeline.h"

namespace fovea::api {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

/// Whoever waits for a GPU needs no core, and while one batch is ranked there the next one gathers.
constexpr std::size_t kBatchThreadsOfGpu = 128;
constexpr std::uint64_t kShardsMax = 1'000'000;
constexpr std::int64_t kTimeMsMax = 253'402'300'799'999;  // the end of the year 9999

struct RankFlags {
  std::filesystem::path data;
  std::filesystem::path config;
  std::string input;
  std::string output;
  std::string shard = "0/1";
  std::string format;
  std::optional<std::int64_t> now_ms;
  std::optional<std::uint64_t> errors_max;
  std::size_t threads = 0;
  bool fresh = false;
  SettingTexts search;
  engine::EngineOptions engine;
};

struct Shard {
  std::uint64_t index = 0;
  std::uint64_t of = 1;

  bool has(std::uint64_t line) const { return (line - 1) % of == index; }
};

Shard parse_shard(std::string_view text) {
  Shard shard;
  const auto number = [](std::string_view digits, std::uint64_t& value) {
    const auto [last, error] = std::from_chars(digits.begin(), digits.end(), value);
    return error == std::errc() && last == digits.end();
  };
  const auto slash = text.find('/');
  if (slash == std::string_view::npos || !number(text.substr(0, slash), shard.index) ||
      !number(text.substr(slash + 1), shard.of) || shard.index >= shard.of ||
      shard.of > kShardsMax) {
    throw std::invalid_argument(
        fmt::format("--shard is \"{}\"; I/N is expected, with I from 0 to N - 1 and N at most {}",
                    text, kShardsMax));
  }
  return shard;
}

BatchFormat format_of(const RankFlags& flags) {
  const bool csv =
      flags.format.empty() ? content_name(flags.output).ends_with(".csv") : flags.format == "csv";
  return csv ? BatchFormat::kCsv : BatchFormat::kJsonLines;
}

std::int64_t machine_now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string time_left(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

/// What is said on stderr while lines are ranked.
class Told {
 public:
  Told(const InputContent& input, std::uint64_t lines_before)
      : input_(input), lines_before_(lines_before) {}

  /// At most kBadLinesASecond of them; how many were left out is said with the next.
  void bad(const AnsweredLine& line) {
    constexpr std::size_t kBadLinesASecond = 10;
    const auto now = Clock::now();
    if (now - second_ >= std::chrono::seconds(1)) {
      second_ = now;
      said_ = 0;
    }
    if (said_ == kBadLinesASecond) {
      ++left_out_;
      return;
    }
    ++said_;
    say_left_out();
    progress_.line(fmt::format("line {}: {}", line.number, line.refusal));
  }

  /// `lines` of the whole output are there, and so much of the input is dealt with.
  void done(std::uint64_t lines, std::uint64_t position) {
    constexpr std::uint64_t kLinesBetween = 16;  // the text takes longer than the look at the clock
    if (lines % kLinesBetween != 0) return;
    std::string what = fmt::format("ranking, {} lines, {:.0f} lines/s", lines, rate(lines));
    if (const auto& file = input_.identity()) {
      if (position > begun_at_ && file->bytes > position) {
        what += fmt::format(", {} left",
                            time_left(seconds() * static_cast<double>(file->bytes - position) /
                                      static_cast<double>(position - begun_at_)));
      }
      progress_.bar(what, position, file->bytes);
    } else if (Clock::now() - stepped_ > kStep) {
      stepped_ = Clock::now();
      progress_.step("rank", what);
    }
  }

  /// At this place of the input.
  void begin(std::uint64_t position) {
    start_ = Clock::now();
    begun_at_ = position;
  }
  void line(std::string_view text) { progress_.line(text); }

  void end(const BatchOutput::Done& done, const std::string& version) {
    say_left_out();
    progress_.line(fmt::format("{} lines ranked, {} of them bad, {:.0f} lines/s, {:.1f} s, {}",
                               done.lines, done.bad, rate(done.lines), seconds(),
                               version.empty() ? "no model yet" : "version " + version));
  }

 private:
  static constexpr std::chrono::seconds kStep{5};

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  double rate(std::uint64_t lines) const {
    return static_cast<double>(lines - lines_before_) / std::max(seconds(), 1e-3);
  }
  void say_left_out() {
    if (left_out_ > 0) progress_.line(fmt::format("{} more bad lines", left_out_));
    left_out_ = 0;
  }

  const InputContent& input_;
  const std::uint64_t lines_before_;
  Progress progress_ = Progress::to_stderr();
  Clock::time_point start_ = Clock::now();
  Clock::time_point stepped_ = start_;
  std::uint64_t begun_at_ = 0;
  Clock::time_point second_;
  std::size_t said_ = 0;  // of bad lines, in that second
  std::uint64_t left_out_ = 0;
};

/// The lines of one shard, without those that are answered already, and where in the file they end.
class ShardLines {
 public:
  ShardLines(std::istream& content, const InputContent& input, const Shard& shard)
      : lines_(content, kJsonBytesMax), input_(input), shard_(shard) {}

  std::optional<AskedLine> next() {
    while (auto line = lines_.next()) {
      consumed_ += line->text.size() + 1;
      if (!shard_.has(line->number)) continue;
      // As far into the blocks that are read of the file as into what they hold.
      const double part = static_cast<double>(consumed_) / static_cast<double>(lines_.bytes());
      ends_.push_back(static_cast<std::uint64_t>(part * static_cast<double>(input_.bytes_read())));
      return AskedLine{line->number, std::string(line->text), line->too_long};
    }
    return std::nullopt;
  }
  /// Where the oldest line ends, about, that next() gave and pass() did not.
  std::uint64_t pass() {
    passed_ = ends_.front();
    ends_.pop_front();
    return passed_;
  }
  void skip(std::uint64_t answered) {
    for (; answered > 0 && next(); --answered) pass();
  }
  std::uint64_t position() const { return passed_; }

 private:
  LineReader lines_;
  const InputContent& input_;
  Shard shard_;
  std::uint64_t consumed_ = 0;  // of the content
  std::deque<std::uint64_t> ends_;
  std::uint64_t passed_ = 0;
};

/// Everything that changes a byte of the output.
json::object begun_with(const RankFlags& flags, const BatchRun& run,
                        const InputContent::Identity& input) {
  json::object with = {{"program", FOVEA_VERSION},
                       {"input_bytes", input.bytes},
                       {"input_modified_ns", input.modified_ns},
                       {"shard", flags.shard},
                       {"format", run.format == BatchFormat::kCsv ? "csv" : "jsonl"},
                       {"now_ms", run.now_ms},
                       {"model_version", run.model_version},
                       {"not_seen", json::value_from(flags.engine.not_seen)}};
  for (const auto& setting : to_json(flags.engine.search)) with.insert(setting);
  return with;
}

/// The clock of all lines: the one named, else that of the run that this one goes on with, else
/// now.
std::int64_t clock_of(const RankFlags& flags, const std::optional<json::object>& before) {
  if (flags.now_ms) return *flags.now_ms;
  const auto* began = before && !flags.fresh ? before->if_contains("now_ms") : nullptr;
  return began != nullptr && began->is_int64() ? began->get_int64() : machine_now_ms();
}

BatchOutput::Done begin(BatchOutput& output, const RankFlags& flags, const BatchRun& run,
                        const InputContent& input) {
  std::optional<json::object> with;
  if (input.identity()) with = begun_with(flags, run, *input.identity());
  if (!flags.fresh && with) return output.resume(*with, head(run.format));
  if (!flags.fresh && output.begun_with()) {
    throw std::runtime_error(
        "the output was begun from a file, and a pipe cannot be read again from where that "
        "stopped; name the file, or begin anew with --fresh");
  }
  output.begin(with, head(run.format));
  return {};
}

void rank(RankFlags flags) {
  const Shard shard = parse_shard(flags.shard);
  flags.shard = fmt::format("{}/{}", shard.index, shard.of);
  Config config;
  if (!flags.config.empty()) config = read_config(flags.config);
  flags.engine.not_seen = config.not_seen;
  flags.engine.search = resolve_search(flags.search, flags.config, config.server);
  InputContent input(flags.input);
  std::istream content(&input);
  content.exceptions(std::istream::badbit);
  BatchOutput output(flags.output);

  BatchRun run;
  run.format = format_of(flags);
  run.now_ms = clock_of(flags, flags.fresh ? std::nullopt : output.begun_with());
  flags.engine.access = storage::Access::kReadOnly;  // beside a server
  flags.engine.record_exposures = false;
  flags.engine.reload_interval = std::chrono::milliseconds(0);  // one version for all lines
  flags.engine.now_ms = [now_ms = run.now_ms] { return now_ms; };
  const auto engine = engine::Engine::open(flags.data, flags.engine);
  engine->recount();
  run.model_version = engine->status().model_version;
  if (flags.threads == 0) {
    flags.threads = engine->snapshot().gpu != nullptr
                        ? kBatchThreadsOfGpu
                        : std::max(1U, std::thread::hardware_concurrency());
  }

  BatchOutput::Done done = begin(output, flags, run, input);
  ShardLines lines(content, input, shard);
  Told told(input, done.lines);
  if (done.lines > 0) {
    told.line(fmt::format("going on after the {} lines that are ranked", done.lines));
    lines.skip(done.lines);
  }
  told.begin(lines.position());
  Handler handler(*engine);
  const auto take = [&](const AnsweredLine& line) {
    const bool bad = !line.refusal.empty();
    ++done.lines;
    if (bad) {
      ++done.bad;
      told.bad(line);
      if (flags.errors_max && done.bad > *flags.errors_max) {
        throw std::runtime_error(fmt::format(
            "stopped at line {}: {} lines are bad and --max-errors allows {}; correct them and "
            "begin anew with --fresh, or allow more and go on",
            line.number, done.bad, *flags.errors_max));
      }
    }
    output.add(line.text, bad);
    told.done(done.lines, lines.pass());
  };
  api::run({.next = [&] { return lines.next(); },
            .answer = [&](const AskedLine& line) { return answer(handler, run, line); },
            .take = take},
           flags.threads);
  output.finish();
  told.end(done, run.model_version);
}

constexpr const char* kRankHelp =
    R"(A line is what POST /v1/rank takes, its answer what that gives: the same scores for the same
version, behaviours and time. The store is read as it was at the start, beside a server or not, and
nothing is written to it: a batch shows nothing to anybody. All lines are ranked at one time, when
the run began or --now-ms, and carry a request_id that is a digest of line, number, time and
version, so that a run with the same of these gives the same bytes. stage_us is empty and
deadline_ms is not kept.

A bad line is reported by number and answered by {"line":N,"error":{"field":...,"message":...}} in
its place (CSV: by no row). Names that end in .gz or .zst are compressed, .csv is CSV.

Until all is done the output is FILE.partial, with FILE.partial.json about it. A run that was
killed goes on there when it is started again with the same input and flags, at its own time and
with the version it began with. With - for a pipe there is nothing to go on with.

--shard I/N, I from 0, takes lines I + 1, I + 1 + N, ...; give all shards the same --now-ms.

Example:
  fovea rank --data shop --input requests.jsonl.gz --output ranked.jsonl.gz
  fovea rank --data shop --input requests.jsonl --output ranked.0.csv --shard 0/8 --now-ms 1760000000000)";

}  // namespace

void add_rank(CLI::App& app) {
  const auto flags = std::make_shared<RankFlags>();
  CLI::App* command = app.add_subcommand("rank", "Rank a file of requests, offline");
  command->footer(kRankHelp);
  command->add_option("--data", flags->data, "Data directory, which may be served meanwhile")
      ->required()
      ->type_name("DIR");
  command->add_option("--input", flags->input, "Requests, one JSON object a line; - is stdin")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--output", flags->output,
                   "Answers, in the order of the requests; - is stdout. Not there yet")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--format", flags->format,
                   "jsonl, or csv with user,rank,item,score; told from the output's name when left "
                   "out")
      ->check(CLI::IsMember({"jsonl", "csv"}));
  command->add_option("--shard", flags->shard, "Every N-th line, from line I + 1 on")
      ->capture_default_str()
      ->type_name("I/N");
  command
      ->add_option("--now-ms", flags->now_ms,
                   "The time of all lines, milliseconds since 1970; when the run began when left "
                   "out")
      ->check(CLI::Range(std::int64_t{0}, kTimeMsMax))
      ->type_name("MS");
  command
      ->add_option("--max-errors", flags->errors_max,
                   "Bad lines that are answered; one more ends the run. No limit when left out")
      ->type_name("N");
  command->add_flag("--fresh", flags->fresh, "Begin anew where a killed run could go on");
  command
      ->add_option("--config", flags->config,
                   "TOML, as the server's: which actions leave an item unseen, and of [server] "
                   "how queries are searched")
      ->type_name("FILE");
  command
      ->add_option("--threads", flags->threads,
                   "That rank at once; 0: one a core, or as many as a GPU wants waiting")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  add_search_flags(*command, flags->search);
  add_device(*command, flags->engine.device, "What ranks");
  add_gpu_memory(*command, flags->engine.gpu);
  command->callback([flags] { rank(*flags); });
}

}  // namespace fovea::api
