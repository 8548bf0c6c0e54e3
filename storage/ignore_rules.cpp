// Gitignore lines into parts, and a matcher whose work is counted: no pattern can hold a scan up.
#include "storage/ignore_rules.hpp"

#include <optional>

namespace harp {

namespace {

/// One character class at `at` (behind '['): does it take `c`? Moves `at` behind ']'. Nothing: no class, '[' is itself.
std::optional<bool> class_takes(std::string_view pattern, size_t& at, char c) {
  size_t i = at;
  bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  i += negated ? 1 : 0;
  bool takes = false;
  for (bool first = true; i < pattern.size() && (first || pattern[i] != ']'); first = false) {
    char low = pattern[i];
    if (low == '\\' && i + 1 < pattern.size())
      low = pattern[++i];
    char high = low;
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
      i += 2;
      high = pattern[i];
      if (high == '\\' && i + 1 < pattern.size())
        high = pattern[++i];
    }
    auto u = [](char x) { return static_cast<unsigned char>(x); };
    takes = takes || (u(c) >= u(low) && u(c) <= u(high));
    ++i;
  }
  if (i >= pattern.size())
    return std::nullopt;
  at = i + 1;
  return takes != negated;
}

/// One step of a pattern against `c`; moves `at` behind it.
bool takes(std::string_view pattern, size_t& at, char c) {
  char p = pattern[at++];
  if (p == '?')
    return true;
  if (p == '[')
    if (auto result = class_takes(pattern, at, c))
      return *result;
  if (p == '\\' && at < pattern.size())
    p = pattern[at++];
  return p == c;
}

/// A name against one part: '*' is any run, with one point to go back to, so at most |pattern| x |name| steps.
bool part_matches(std::string_view pattern, std::string_view name, size_t& steps) {
  size_t p = 0, n = 0;
  size_t star = std::string_view::npos, back = 0;
  while (n < name.size()) {
    if (++steps > ignore_steps_max)
      return false;
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      back = n;
      continue;
    }
    size_t at = p;
    if (p < pattern.size() && takes(pattern, at, name[n])) {
      p = at;
      ++n;
      continue;
    }
    if (star == std::string_view::npos)
      return false;
    p = star;
    n = ++back;
  }
  while (p < pattern.size() && pattern[p] == '*')
    ++p;
  return p == pattern.size();
}

/// Trailing spaces go unless the last is escaped.
std::string_view trimmed(std::string_view line) {
  if (!line.empty() && line.back() == '\r')
    line.remove_suffix(1);
  while (!line.empty() && line.back() == ' ' && !(line.size() > 1 && line[line.size() - 2] == '\\'))
    line.remove_suffix(1);
  return line;
}

} // namespace

ignore_rules ignore_rules::parse(std::string_view text) {
  ignore_rules out;
  text = text.substr(0, ignore_file_bytes_max);
  auto refuse = [&](size_t number) {
    if (out.refused_.size() < 100)
      out.refused_.push_back(number);
  };
  for (size_t number = 1; !text.empty(); ++number) {
    auto end = text.find('\n');
    auto line = trimmed(text.substr(0, end));
    text = end == text.npos ? std::string_view{} : text.substr(end + 1);
    if (line.empty() || line.front() == '#')
      continue;
    rule made;
    if (line.front() == '!') {
      made.negated = true;
      line.remove_prefix(1);
    }
    if (!line.empty() && line.back() == '/') {
      made.dirs_only = true;
      line.remove_suffix(1);
    }
    made.anchored = line.find('/') != line.npos;
    if (!line.empty() && line.front() == '/')
      line.remove_prefix(1);
    if (line.empty() || line.size() > ignore_pattern_bytes_max || line.find('\0') != line.npos
        || out.rules_.size() >= ignore_rules_max) {
      refuse(number);
      continue;
    }
    while (true) {
      auto cut = line.find('/');
      auto part = line.substr(0, cut);
      // several "**" in a row mean one; an empty part ("a//b") never matches a name
      if (!(part == "**" && !made.parts.empty() && made.parts.back() == "**"))
        made.parts.emplace_back(part);
      if (cut == line.npos)
        break;
      line.remove_prefix(cut + 1);
    }
    out.rules_.push_back(std::move(made));
  }
  return out;
}

bool ignore_rules::matches(const rule& r, std::string_view path, size_t& steps) {
  if (!r.anchored)
    return part_matches(r.parts.front(), path.substr(path.rfind('/') + 1), steps);
  // the same walk as in part_matches, over components, with "**" as the star
  constexpr auto npos = std::string_view::npos;
  size_t p = 0, n = 0;
  size_t star = npos, back = 0;
  auto component = [&](size_t at) { return path.substr(at, path.find('/', at) - at); };
  auto after = [&](size_t at) {
    auto cut = path.find('/', at);
    return cut == npos ? path.size() : cut + 1;
  };
  while (n < path.size()) {
    if (++steps > ignore_steps_max)
      return false;
    if (p < r.parts.size() && r.parts[p] == "**") {
      if (++p == r.parts.size())
        return true; // everything below
      star = p;
      back = n;
      continue;
    }
    if (p < r.parts.size() && part_matches(r.parts[p], component(n), steps)) {
      ++p;
      n = after(n);
      continue;
    }
    if (star == npos)
      return false;
    p = star;
    n = back = after(back);
  }
  return p == r.parts.size();
}

bool ignore_rules::ignores_itself(std::string_view path, bool is_dir) const {
  for (auto r = rules_.rbegin(); r != rules_.rend(); ++r) {
    size_t steps = 0;
    if ((is_dir || !r->dirs_only) && matches(*r, path, steps))
      return !r->negated;
  }
  return false;
}

bool ignore_rules::ignores(std::string_view path, bool is_dir) const {
  if (rules_.empty())
    return false;
  for (size_t cut = path.find('/'); cut != path.npos; cut = path.find('/', cut + 1))
    if (ignores_itself(path.substr(0, cut), true))
      return true;
  return ignores_itself(path, is_dir);
}

} // namespace harp
