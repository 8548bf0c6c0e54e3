#include "actors/path_check.hpp"

#include <algorithm>
#include <array>

namespace harp {

namespace {

constexpr size_t escape_bytes = 3;

int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

/// The byte that the escape at `at` stands for, or -1 when it is broken.
int escaped_byte(std::string_view text, size_t at) {
  if (text.size() - at < escape_bytes)
    return -1;
  int high = hex_digit(text[at + 1]);
  int low = hex_digit(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/// How much of "exactly two dots" the current segment has been so far.
enum class segment : uint8_t { start, one_dot, two_dots, other };

segment after_dot(segment seen) {
  switch (seen) {
  case segment::start:
    return segment::one_dot;
  case segment::one_dot:
    return segment::two_dots;
  case segment::two_dots:
  case segment::other:
    break;
  }
  return segment::other;
}

enum class broken_escapes : uint8_t { refused, literal };

path_fault scan(std::string_view text, broken_escapes rule) {
  segment seen = segment::start;
  for (size_t at = 0; at < text.size();) {
    char c = text[at];
    size_t step = 1;
    if (c == '%') {
      int byte = escaped_byte(text, at);
      if (byte < 0 && rule == broken_escapes::refused)
        return path_fault::broken_escape;
      if (byte >= 0) {
        c = static_cast<char>(byte);
        step = escape_bytes;
      }
    }
    at += step;
    if (c == '\0')
      return path_fault::nul;
    if (c == '\\')
      return path_fault::backslash;
    if (seen == segment::two_dots && (c == '/' || c == ';'))
      return path_fault::dot_dot;
    if (c == '/')
      seen = segment::start;
    else
      seen = c == '.' ? after_dot(seen) : segment::other;
  }
  return seen == segment::two_dots ? path_fault::dot_dot : path_fault::none;
}

std::string decode_once(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    int byte = text[at] == '%' ? escaped_byte(text, at) : -1;
    result.push_back(byte < 0 ? text[at] : static_cast<char>(byte));
    at += byte < 0 ? 1 : escape_bytes;
  }
  return result;
}

/// Merges slashes and drops `.` segments; "/a/." becomes "/a/".
std::string merge_segments(std::string_view path) {
  std::string result = "/";
  result.reserve(path.size() + 1);
  size_t at = 0;
  while (at < path.size()) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view part = path.substr(at, end - at);
    if (!part.empty() && part != ".") {
      result += part;
      if (end < path.size())
        result += '/';
    }
    at = end + 1;
  }
  return result;
}

bool starts_parameter(std::string_view text, size_t at) {
  return text[at] == ';' || (text[at] == '%' && escaped_byte(text, at) == ';');
}

/// Cuts every segment at its first `;` or `%3b`.
std::string cut_parameters(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  bool cutting = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '/')
      cutting = false;
    else if (!cutting)
      cutting = starts_parameter(text, at);
    if (!cutting)
      result.push_back(text[at]);
  }
  return result;
}

bool has_parameters(std::string_view text) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (starts_parameter(text, at))
      return true;
  }
  return false;
}

bool is_internal_form(std::string_view form) {
  if (form.size() > 1 && form.back() == '/')
    form.remove_suffix(1);
  return form == "/heartbeat" || form == "/init" || form == "/enabled";
}

bool is_app_id_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
         || c == '-' || c == '.';
}

} // namespace

path_fault check_path(std::string_view path) {
  path_fault fault = scan(path, broken_escapes::refused);
  // Without an escaped '%' the decoded form holds no escapes: the first scan has already read it.
  if (fault != path_fault::none || path.find("%25") == path.npos)
    return fault;
  return scan(decode_once(path), broken_escapes::literal);
}

const char* to_string(path_fault fault) {
  switch (fault) {
  case path_fault::none:
    return "path is fine";
  case path_fault::dot_dot:
    return "path has a dot-dot segment";
  case path_fault::backslash:
    return "path has a backslash";
  case path_fault::nul:
    return "path has a NUL byte";
  case path_fault::broken_escape:
    return "path has a broken escape";
  }
  return "path is refused";
}

bool is_app_id(std::string_view text) {
  return !text.empty() && text.size() <= app_id_bytes_max
         && std::all_of(text.begin(), text.end(), is_app_id_byte)
         && text.find_first_not_of('.') != text.npos;
}

std::optional<app_path> split_app(std::string_view path) {
  if (path.substr(0, exapps_prefix.size()) != exapps_prefix)
    return std::nullopt;
  std::string_view rest = path.substr(exapps_prefix.size());
  size_t end = std::min(rest.find('/'), rest.size());
  app_path result{rest.substr(0, end), rest.substr(end)};
  if (!is_app_id(result.app_id))
    return std::nullopt;
  if (result.target.empty())
    result.target = "/";
  return result;
}

std::string lower_app_id(std::string_view app_id) {
  std::string result(app_id);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_plain_target(std::string_view target) {
  char before = '\0';
  for (size_t at = 0; at < target.size(); ++at) {
    char c = target[at];
    bool at_segment_end = at + 1 == target.size() || target[at + 1] == '/';
    if (c == '%' || c == ';' || (c == '/' && before == '/')
        || (c == '.' && before == '/' && at_segment_end))
      return false;
    before = c;
  }
  return true;
}

std::string decoded_form(std::string_view target) {
  return merge_segments(decode_once(target));
}

std::vector<std::string> parameter_free_forms(std::string_view target) {
  if (!has_parameters(target))
    return {};
  return {decoded_form(cut_parameters(target)),
          merge_segments(cut_parameters(decode_once(target)))};
}

bool is_internal_target(std::string_view target) {
  if (is_internal_form(target))
    return true;
  if (is_plain_target(target))
    return false;
  if (is_internal_form(decoded_form(target)))
    return true;
  auto forms = parameter_free_forms(target);
  return std::any_of(forms.begin(), forms.end(),
                     [](const std::string& form) { return is_internal_form(form); });
}

} // namespace harp
