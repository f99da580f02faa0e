// toml++ for texts that may say anything. Whoever reads TOML includes this and not toml++ itself,
// which must be one thing in the whole program. Only sources include it.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

namespace fovea::api {
struct TomlAssertion : std::logic_error {
  using std::logic_error::logic_error;
};
[[noreturn]] inline void refuse_assertion(const char* what) { throw TomlAssertion(what); }
}  // namespace fovea::api

// toml++ 3.3 takes for granted what not every text keeps to: "[:" ends the program at an assertion,
// or, with NDEBUG, may do anything, and so may a letter such as U+00E4 outside of quotes, which its
// test for white space calls unreachable. Here the one is a complaint and the other no white space.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expr) ((expr) ? void() : fovea::api::refuse_assertion(#expr))
// clang-format off: in this order
#include <toml++/impl/forward_declarations.h>
#pragma push_macro("TOML_UNREACHABLE")
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return false
#include <toml++/impl/unicode.h>
#pragma pop_macro("TOML_UNREACHABLE")
#include <toml++/toml.h>
// clang-format on
#pragma pop_macro("NDEBUG")

namespace fovea::api {

/// Throws toml::parse_error with place and reason, std::runtime_error for what toml++ cannot say
/// more about.
inline toml::table parse_toml(const std::filesystem::path& file) {
  try {
    return toml::parse_file(file.string());
  } catch (const TomlAssertion&) {
    throw std::runtime_error(fmt::format("{}: is no TOML", file.string()));
  }
}

}  // namespace fovea::api
