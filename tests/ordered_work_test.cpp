// Claim: lines are answered on several threads and handed on in their order, few are held at once
// however uneven the work is, and what goes wrong anywhere ends it with its own words.
#include "api/ordered_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace fovea::api {
namespace {

constexpr std::uint64_t kLines = 20'000;

/// kLines lines that each hold their number, and how many were taken.
class Counted {
 public:
  OrderedWork work() {
    return {.next = [this]() -> std::optional<AskedLine> {
              if (asked_ == kLines) return std::nullopt;
              ++asked_;
              held_max = std::max(held_max, asked_ - taken);
              return AskedLine{asked_, std::to_string(asked_)};
            },
            .answer = [](const AskedLine& line) { return AnsweredLine{line.number, line.text}; },
            .take =
                [this](const AnsweredLine& line) {
                  ++taken;
                  in_order = in_order && line.number == taken && line.text == std::to_string(taken);
                }};
  }
  std::uint64_t taken = 0;
  std::uint64_t held_max = 0;
  bool in_order = true;

 private:
  std::uint64_t asked_ = 0;
};

TEST(OrderedWork, LinesComeInTheirOrderFromSeveralThreads) {
  Counted lines;
  OrderedWork work = lines.work();
  std::atomic<int> here{0};
  std::atomic<int> at_once{0};
  work.answer = [&](const AskedLine& line) {
    // The first two wait for each other, so that one thread alone would never be done.
    if (line.number <= 2) {
      ++here;
      while (here < 2) std::this_thread::yield();
      at_once = 2;
    }
    if (line.number % 97 == 0) std::this_thread::yield();
    return AnsweredLine{line.number, line.text};
  };
  run(work, 3);
  EXPECT_EQ(lines.taken, kLines);
  EXPECT_TRUE(lines.in_order);
  EXPECT_EQ(at_once, 2);
}

TEST(OrderedWork, FewLinesAreAllHandedOn) {
  for (std::uint64_t lines = 1; lines < 200; lines += 9) {
    std::uint64_t asked = 0;
    std::uint64_t taken = 0;
    run({.next = [&]() -> std::optional<AskedLine> {
           if (asked == lines) return std::nullopt;
           return AskedLine{++asked, ""};
         },
         .answer = [](const AskedLine& line) { return AnsweredLine{line.number, ""}; },
         .take = [&](const AnsweredLine& line) { EXPECT_EQ(line.number, ++taken); }},
        3);
    EXPECT_EQ(taken, lines);
  }
}

TEST(OrderedWork, BehindALineThatTakesLongOnlyAWindowIsRead) {
  Counted lines;
  OrderedWork work = lines.work();
  std::atomic<std::uint64_t> answered{0};
  work.answer = [&](const AskedLine& line) {
    // Line 1 is the last of its window.
    while (line.number == 1 && answered < kLinesHeld - 1) std::this_thread::yield();
    ++answered;
    return AnsweredLine{line.number, line.text};
  };
  run(work, 2);
  EXPECT_EQ(lines.held_max, kLinesHeld);
  EXPECT_TRUE(lines.in_order);
}

TEST(OrderedWork, LongAnswersAreHeldBackByTheirBytes) {
  Counted lines;
  OrderedWork work = lines.work();
  constexpr std::size_t kAnswerBytes = kBytesHeld / 8;
  std::atomic<std::uint64_t> begun{0};
  std::uint64_t ahead = 0;
  work.answer = [&](const AskedLine& line) {
    ++begun;
    return AnsweredLine{line.number, std::string(line.number <= 100 ? kAnswerBytes : 1, 'x')};
  };
  work.take = [&](const AnsweredLine& line) {
    ++lines.taken;
    if (line.number <= 80) ahead = std::max(ahead, begun - lines.taken);
  };
  run(work, 2);
  EXPECT_EQ(lines.taken, kLines);
  // Eight fill the window, and each thread and the taking have one under way.
  EXPECT_LE(ahead, 8 + 2 + 1);
}

TEST(OrderedWork, ManyThreadsOfNoLinesEnd) {
  OrderedWork work;
  work.next = [] { return std::nullopt; };
  work.answer = [](const AskedLine&) { return AnsweredLine{}; };
  work.take = [](const AnsweredLine&) { FAIL(); };
  run(work, 8);
}

std::string ended_by(const OrderedWork& work) {
  try {
    run(work, 2);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing";
}

TEST(OrderedWork, WhatIsThrownAnywhereIsThrownHere) {
  for (const std::string where : {"next", "answer", "take"}) {
    Counted lines;
    OrderedWork work = lines.work();
    const auto fail = [&](std::uint64_t number, const std::string& at) {
      if (number == 5000 && at == where) throw std::runtime_error(at + " is broken");
    };
    const OrderedWork whole = lines.work();
    work.next = [&] {
      fail(lines.taken > 4000 ? 5000 : 0, "next");
      return whole.next();
    };
    work.answer = [&](const AskedLine& line) {
      fail(line.number, "answer");
      return whole.answer(line);
    };
    work.take = [&](AnsweredLine line) {
      fail(line.number, "take");
      whole.take(std::move(line));
    };
    EXPECT_EQ(ended_by(work), where + " is broken");
    EXPECT_LT(lines.taken, kLines);
    EXPECT_TRUE(lines.in_order);
  }
}

}  // namespace
}  // namespace fovea::api
