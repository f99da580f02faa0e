// What a bench measured, for people on a terminal, for programs as JSON, and as a page with the
// latency curve. Measures nothing.
#pragma once

#include <fovea_wire/fovea_types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/load.h"
#include "api/workload.h"

namespace fovea::api {

struct BenchReport {
  // Where and on what; printed with every figure, which means nothing without it.
  std::size_t cores = 0;
  std::string processor;  ///< Its model's name; empty where the machine does not tell.
  std::string target;     ///< Who answered, and through what.
  Status status;          ///< What the target said of itself.
  WorkloadOptions workload;
  double seconds = 0;  ///< Measured at each rate.
  double warm_up_s = 0;
  double p99_max_ms = 0;
  std::vector<LoadResult> rates;  ///< In the order measured.
};

/// Whether every request was answered, and 99 of 100 within the bound.
bool kept(const LoadResult& result, double p99_max_ms);
/// The highest rate that kept the bound; absent: none did.
std::optional<double> highest_kept(const BenchReport& report);

/// The machine and the data, some lines; then a table: its head, and as each rate is done a line.
std::string introduction(const BenchReport& report);
std::string table_head();
std::string table_row(const LoadResult& result);
/// One sentence.
std::string verdict(const BenchReport& report);

std::string bench_json(const BenchReport& report);
/// As page() of api/chart.h makes it.
std::string bench_page(const BenchReport& report);

}  // namespace fovea::api
