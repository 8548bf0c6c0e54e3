// One route pattern of an ExApp, compiled: Python's re.match over a path, in bounded time
// (appapi-harp.md 2.8, FS12).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

struct pcre2_real_code_8;

namespace harp {

inline constexpr size_t pattern_bytes_max = 4096;
inline constexpr size_t subject_bytes_max = 16 * 1024;
inline constexpr uint32_t match_steps_max
    = 100'000; // PCRE2 match limit: below a millisecond with JIT, some with the interpreter
inline constexpr uint32_t match_depth_max = 10'000;
inline constexpr uint32_t match_heap_kib_max = 4096;
inline constexpr uint32_t pattern_parens_max = 50;

enum class match_result : uint8_t {
  no,
  yes,
  over_limit, // too many steps or too long a path: the request is to be refused
};

/// A compiled pattern. Anchored at the start only, case-sensitive, no flags, a match of a prefix
/// suffices, bytes and not characters. Immutable and cheap to copy; match() may run on several
/// threads at once.
class route_pattern {
public:
  /// Compiles, or says in words why not. Patterns are hostile: what Python's re would refuse (verbs
  /// like `(*ACCEPT)`, unknown letter escapes) is refused here too, `\Z`, `\v` and `{,n}` mean what
  /// they mean there.
  static std::variant<route_pattern, std::string> compile(std::string_view pattern);

  /// `steps_max` lowers the limit when many patterns share one request; above match_steps_max it changes nothing.
  [[nodiscard]] match_result match(std::string_view subject,
                                   uint32_t steps_max = match_steps_max) const;
  /// False when no path can ever match, because every path begins with a slash.
  [[nodiscard]] bool can_match_a_path() const;
  /// False when a probe made from the pattern's own characters ran over the limits, as `(a+)+$`
  /// does.
  [[nodiscard]] bool is_bounded() const { return is_bounded_; }

private:
  explicit route_pattern(std::shared_ptr<const pcre2_real_code_8> code) : code_(std::move(code)) {}
  [[nodiscard]] bool probe(std::string_view pattern) const;

  std::shared_ptr<const pcre2_real_code_8> code_;
  bool is_bounded_ = true;
};

} // namespace harp
