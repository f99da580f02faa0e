// What a report comes to, in a sentence that a person can act on. Owns the words and when there are
// none: a verdict is withheld where the numbers must not be believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fovea::engine {

struct Report;

enum class Judgement : std::uint8_t { kBetter, kWorse, kNoDifference, kWithheld };

struct Verdict {
  Judgement judgement = Judgement::kWithheld;
  std::string sentence;
};

/// "better", "worse", "no_difference" or "withheld".
const char* name(Judgement judgement);

/// On the `treatment`-th variant after the control, counted from 0; the report has all but its
/// verdicts. By successes per unit, and with several treatments by Holm over them; a guardrail that
/// got worse, by Holm over guardrails, is named. Withheld: a sample ratio mismatch, weights that
/// are not known, fewer than two units in an arm, arms in which all units are alike.
Verdict judge(const Report& report, std::size_t treatment);

}  // namespace fovea::engine
