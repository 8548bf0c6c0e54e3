// Patterns of entries that are not synced: .harpignore in gitignore syntax, at the root of a space. Pure, hostile input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr std::string_view ignore_file_name = ".harpignore";
inline constexpr size_t ignore_file_bytes_max = 256 * 1024; // the rest is not read
inline constexpr size_t ignore_rules_max = 4096;            // further lines are refused
inline constexpr size_t ignore_pattern_bytes_max = 1024;    // longer lines are refused
inline constexpr size_t ignore_steps_max
    = 100'000; // of one match; a pattern that needs more does not match

/// Parsed rules. The last rule that matches decides; what is below an ignored directory is ignored.
class ignore_rules {
public:
  ignore_rules() = default;
  /// Never fails: lines that cannot be taken are listed in refused().
  static ignore_rules parse(std::string_view text);

  /// `path` is relative to the root, with '/'. Looks at its parents too.
  [[nodiscard]] bool ignores(std::string_view path, bool is_dir) const;
  /// Line numbers (from 1) that were refused, at most 100.
  [[nodiscard]] const std::vector<size_t>& refused() const { return refused_; }
  [[nodiscard]] size_t size() const { return rules_.size(); }

private:
  struct rule {
    std::vector<std::string> parts; // of the pattern, between '/'; "**" stands for itself
    bool negated = false;
    bool dirs_only = false;
    bool anchored = false; // else its one part matches the name at any depth
  };
  [[nodiscard]] bool ignores_itself(std::string_view path, bool is_dir) const;
  static bool matches(const rule& r, std::string_view path, size_t& steps);

  std::vector<rule> rules_;
  std::vector<size_t> refused_;
};

} // namespace harp
