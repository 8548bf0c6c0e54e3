#include "actors/route_pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <optional>

namespace harp {

namespace {

constexpr size_t probe_run_bytes
    = 200; // 2^200 steps when exponential, 200^3 when cubic: both over the limit
constexpr size_t probe_characters_max = 12;
constexpr uint32_t compile_options
    = PCRE2_ANCHORED | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* x) const {
    Free(x);
  }
};
using match_data_ptr = std::unique_ptr<pcre2_match_data, freed_by<pcre2_match_data_free>>;
using match_context_ptr = std::unique_ptr<pcre2_match_context, freed_by<pcre2_match_context_free>>;
using compile_context_ptr
    = std::unique_ptr<pcre2_compile_context, freed_by<pcre2_compile_context_free>>;

/// What one thread needs to match; a compiled pattern itself is read-only.
struct match_workspace {
  match_data_ptr data{pcre2_match_data_create(1, nullptr)};
  match_context_ptr limits{pcre2_match_context_create(nullptr)};

  match_workspace() {
    if (!limits)
      return;
    pcre2_set_depth_limit(limits.get(), match_depth_max);
    pcre2_set_heap_limit(limits.get(), match_heap_kib_max);
  }
};

/// PCRE2's own code: a match count, or a negative error.
int run(const pcre2_code* code, std::string_view subject, uint32_t options, uint32_t steps_max) {
  thread_local match_workspace work;
  if (!work.data || !work.limits)
    return PCRE2_ERROR_NOMEMORY;
  pcre2_set_match_limit(work.limits.get(), std::min(steps_max, match_steps_max));
  auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  return pcre2_match(code, text, subject.size(), 0, options, work.data.get(), work.limits.get());
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Escapes that Python's re knows; `\u` and `\U` are left to PCRE2, which refuses them.
bool is_python_escape(char c) {
  constexpr std::string_view known = "AbBdDsSwWZafnrtvxuU";
  return !is_letter(c) || known.find(c) != known.npos;
}

/// `{,n}` at `at`: a counted repeat in Python, plain text in PCRE2.
bool is_open_repeat(std::string_view pattern, size_t at) {
  if (pattern.substr(at, 2) != "{,")
    return false;
  size_t end = pattern.find_first_not_of("0123456789", at + 2);
  return end != pattern.npos && end > at + 2 && pattern[end] == '}';
}

/// Python's dialect in PCRE2's words. Keeps track of classes, where braces and parentheses are
/// plain.
class dialect {
public:
  explicit dialect(std::string_view pattern) : pattern_(pattern) {}

  /// Nothing when fine; then `result` is the pattern to compile.
  const char* translate(std::string& result) {
    for (at_ = 0; at_ < pattern_.size(); ++at_) {
      if (pattern_[at_] == '\\') {
        if (const char* error = escape(result))
          return error;
        continue;
      }
      if (!in_class_ && pattern_.substr(at_, 2) == "(*")
        return "it begins a group with a star";
      if (!in_class_ && pattern_.substr(at_, 3) == "(?C")
        return "it has a callout";
      if (!in_class_ && is_open_repeat(pattern_, at_)) {
        result += "{0";
        continue;
      }
      follow_class();
      result += pattern_[at_];
    }
    return nullptr;
  }

private:
  const char* escape(std::string& result) {
    if (at_ + 1 == pattern_.size())
      return "it ends in a backslash";
    char c = pattern_[++at_];
    if (!is_python_escape(c))
      return "it has an escape that Python does not know";
    if (c == 'v')
      result += "\\x0b";
    else if (c == 'Z' && !in_class_)
      result += "\\z";
    else
      (result += '\\') += c;
    return nullptr;
  }

  void follow_class() {
    char c = pattern_[at_];
    if (!in_class_ && c == '[') {
      in_class_ = true;
      // A closing bracket directly behind `[` or `[^` is plain.
      class_first_ = at_ + (pattern_.substr(at_ + 1, 1) == "^" ? 2 : 1);
    } else if (in_class_ && c == ']' && at_ != class_first_) {
      in_class_ = false;
    }
  }

  std::string_view pattern_;
  size_t at_ = 0;
  size_t class_first_ = 0;
  bool in_class_ = false;
};

std::string words_of(int error) {
  std::array<PCRE2_UCHAR, 160> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

compile_context_ptr limited_compile() {
  compile_context_ptr context{pcre2_compile_context_create(nullptr)};
  if (context) {
    pcre2_set_parens_nest_limit(context.get(), pattern_parens_max);
    pcre2_set_max_pattern_length(context.get(), 2 * pattern_bytes_max);
  }
  return context;
}

/// The plain text that every match begins with, so that a probe gets past it.
std::string literal_prefix(std::string_view pattern) {
  std::string result;
  size_t at = pattern.substr(0, 1) == "^" ? 1 : 0;
  for (; at < pattern.size(); ++at) {
    char c = pattern[at];
    if (c == '\\' && at + 1 < pattern.size() && !is_letter(pattern[at + 1]))
      c = pattern[++at];
    else if (std::string_view{"\\^$.|?*+()[]{}"}.find(c) != std::string_view::npos)
      break;
    result += c;
  }
  return result;
}

/// A few characters that repeats of the pattern may be about.
std::string probe_characters(std::string_view pattern) {
  std::string result = "a0/";
  for (char c : pattern) {
    bool is_plain = is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (is_plain && result.find(c) == result.npos && result.size() < probe_characters_max)
      result += c;
  }
  return result;
}

} // namespace

std::variant<route_pattern, std::string> route_pattern::compile(std::string_view pattern) {
  if (pattern.size() > pattern_bytes_max)
    return std::string{"it is longer than " + std::to_string(pattern_bytes_max) + " bytes"};
  std::string translated;
  if (const char* error = dialect{pattern}.translate(translated))
    return std::string{error};
  int error = 0;
  PCRE2_SIZE error_at = 0;
  auto context = limited_compile();
  pcre2_code* code
      = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                      compile_options, &error, &error_at, context.get());
  if (code == nullptr)
    return words_of(error) + " at byte " + std::to_string(error_at);
  // Without executable memory there is no JIT; the interpreter keeps the same limits.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  route_pattern result{std::shared_ptr<const pcre2_code>(
      code, [](const pcre2_code* x) { pcre2_code_free(const_cast<pcre2_code*>(x)); })};
  result.is_bounded_ = result.probe(pattern);
  return result;
}

match_result route_pattern::match(std::string_view subject, uint32_t steps_max) const {
  if (subject.size() > subject_bytes_max)
    return match_result::over_limit;
  int rc = run(code_.get(), subject, 0, steps_max);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
    rc = run(code_.get(), subject, PCRE2_NO_JIT, steps_max);
  if (rc >= 0)
    return match_result::yes;
  return rc == PCRE2_ERROR_NOMATCH ? match_result::no : match_result::over_limit;
}

bool route_pattern::can_match_a_path() const {
  // Partial matching answers exactly this: may some text that begins with a slash match?
  return run(code_.get(), "/", PCRE2_PARTIAL_HARD, match_steps_max) != PCRE2_ERROR_NOMATCH;
}

bool route_pattern::probe(std::string_view pattern) const {
  std::string prefix = literal_prefix(pattern);
  std::string characters = probe_characters(pattern);
  // The tail fits few patterns, so that every way of splitting the run is tried; it holds the
  // characters that a match needs, because PCRE2 does not even begin without them.
  std::string tail = "\x01!" + characters;
  for (char c : characters) {
    if (match(prefix + std::string(probe_run_bytes, c) + tail) == match_result::over_limit)
      return false;
  }
  return true;
}

} // namespace harp
