#include "engine/interleaving.h"

#include <array>
#include <optional>
#include <unordered_set>

#include "ranking/random.h"

namespace fovea::engine {

std::vector<Drafted> team_draft(std::span<const std::uint32_t> first,
                                std::span<const std::uint32_t> second, std::size_t n,
                                std::uint64_t seed,
                                const std::function<bool(std::uint32_t row)>& may_take) {
  struct Team {
    std::span<const std::uint32_t> left;
    std::size_t taken = 0;
  };
  std::array<Team, 2> teams = {Team{first}, Team{second}};
  ranking::Random random(seed);
  std::unordered_set<std::uint32_t> taken;
  std::vector<Drafted> drafted;
  /// Absent: the list has ended.
  const auto take = [&](Team& team) -> std::optional<std::uint32_t> {
    while (!team.left.empty()) {
      const std::uint32_t row = team.left.front();
      team.left = team.left.subspan(1);
      if (!taken.contains(row) && may_take(row)) return row;
    }
    return std::nullopt;
  };
  while (drafted.size() < n) {
    // Who has fewer is second in its round; a new round is anybody's.
    std::size_t turn = teams[0].taken < teams[1].taken ? 0 : 1;
    if (teams[0].taken == teams[1].taken) turn = random.below(2);
    auto row = take(teams[turn]);
    if (!row) {
      turn = 1 - turn;
      row = take(teams[turn]);
    }
    if (!row) break;
    taken.insert(*row);
    ++teams[turn].taken;
    drafted.push_back({*row, static_cast<std::uint8_t>(turn)});
  }
  return drafted;
}

}  // namespace fovea::engine
