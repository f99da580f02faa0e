// What a data directory knows of users and items as plain arrays, for a service that is no part of
// Fovea (python_service.py). Little-endian, one file an array.
//   fovea_export DATA DIRECTORY
//     users.txt, items.txt   a name a line, items by row
//     offsets.u64            [users + 1], where each user's behaviours begin
//     rows.u32, actions.u16, values.f32, times.i64   [behaviours], oldest first
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "storage/db.h"

namespace {

std::ofstream open_file(const std::filesystem::path& file) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  if (!out) throw std::runtime_error(file.string() + " cannot be written");
  return out;
}

template <typename Value>
void write_array(const std::filesystem::path& file, const std::vector<Value>& values) {
  auto out = open_file(file);
  out.write(reinterpret_cast<const char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(Value)));
  out.flush();
  if (!out) throw std::runtime_error(file.string() + " cannot be written");
}

void export_store(const std::filesystem::path& data, const std::filesystem::path& directory) {
  const auto db = fovea::storage::Db::open(data, fovea::storage::Access::kReadOnly);
  std::filesystem::create_directories(directory);
  auto items = open_file(directory / "items.txt");
  for (std::uint32_t row = 0; row < db->catalog().rows(); ++row) {
    items << db->catalog().item_id(row) << '\n';
  }
  auto users = open_file(directory / "users.txt");
  std::vector<std::uint64_t> offsets = {0};
  std::vector<std::uint32_t> rows;
  std::vector<std::uint16_t> actions;
  std::vector<float> values;
  std::vector<std::int64_t> times;
  db->history().for_each_user(
      [&](std::string_view user, std::span<const fovea::storage::Event> events) {
        users << user << '\n';
        for (const auto& event : events | std::views::reverse) {
          rows.push_back(event.row);
          actions.push_back(event.action);
          values.push_back(static_cast<float>(event.value.value_or(0)));
          times.push_back(event.time_ms);
        }
        offsets.push_back(rows.size());
      });
  write_array(directory / "offsets.u64", offsets);
  write_array(directory / "rows.u32", rows);
  write_array(directory / "actions.u16", actions);
  write_array(directory / "values.f32", values);
  write_array(directory / "times.i64", times);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: fovea_export DATA DIRECTORY\n");
    return 2;
  }
  try {
    export_store(arguments[1], arguments[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fovea_export: %s\n", error.what());
    return 1;
  }
  return 0;
}
