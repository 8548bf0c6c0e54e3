#include "web/config_values.hpp"

#include "net/visible_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace harp::web {

namespace {

constexpr std::string_view blanks = " \t\r\n\v\f";

std::string_view form_name(text_form form) {
  switch (form) {
  case text_form::toml_strings:
    return "a list";
  case text_form::toml_integer:
    return "an integer";
  case text_form::toml_float:
    return "a floating-point number";
  case text_form::toml_boolean:
    return "a boolean";
  case text_form::toml_string:
  case text_form::strict:
  case text_form::compat:
    return "a string";
  }
  return "a value";
}

std::string wrong_type(std::string_view wanted, text_form form) {
  return "needs " + std::string{wanted} + ", not " + std::string{form_name(form)};
}

bool is_quote(char c) {
  return c == '"' || c == '\'';
}

std::string lower(std::string_view text) {
  std::string result{text};
  for (char& c : result)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return result;
}

} // namespace

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  net::append_visible(result, text.substr(0, quote_bytes_max));
  return result + (text.size() > quote_bytes_max ? "…\"" : "\"");
}

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(blanks);
  if (first == text.npos)
    return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string strip_quotes(std::string_view text) {
  for (char quote : {'"', '\''}) {
    if (text.starts_with(quote))
      text.remove_prefix(1);
    if (text.ends_with(quote))
      text.remove_suffix(1);
  }
  return std::string{text};
}

parsed<std::string> parse_text(const given_value& given) {
  if (given.form != text_form::toml_string && given.form != text_form::strict
      && given.form != text_form::compat)
    return {{}, wrong_type("a string", given.form)};
  const auto& text = given.text;
  bool stray = !text.empty() && (is_quote(text.front()) || is_quote(text.back()));
  if (stray && given.form != text_form::compat)
    return {{}, "has stray quotes: " + in_quotes(text)};
  bool control = std::any_of(text.begin(), text.end(),
                             [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (control)
    return {{}, "has control bytes: " + in_quotes(text)};
  return {text, {}};
}

parsed<bool> parse_flag(const given_value& given) {
  if (given.form != text_form::toml_boolean && given.form != text_form::strict)
    return {{}, wrong_type("true or false", given.form)};
  auto word = lower(given.text);
  for (std::string_view yes : {"true", "1", "yes", "on"})
    if (word == yes)
      return {true, {}};
  for (std::string_view no : {"false", "0", "no", "off"})
    if (word == no)
      return {false, {}};
  return {{}, "needs true or false, not " + in_quotes(given.text)};
}

parsed<unsigned> parse_number(const given_value& given, unsigned least, unsigned most) {
  if (given.form != text_form::toml_integer && given.form != text_form::strict
      && given.form != text_form::compat)
    return {{}, wrong_type("an integer", given.form)};
  unsigned number = 0;
  const char* last = given.text.data() + given.text.size();
  auto [end, failure] = std::from_chars(given.text.data(), last, number);
  if (given.text.empty() || end != last || failure != std::errc{} || number < least
      || number > most)
    return {{},
            "needs an integer from " + std::to_string(least) + " to " + std::to_string(most)
                + ", not " + in_quotes(given.text)};
  return {number, {}};
}

parsed<int64_t> parse_python_integer(std::string_view text) {
  auto digits = trimmed(text);
  std::string plain;
  for (size_t i = 0; i < digits.size(); ++i) {
    bool between = i > 0 && i + 1 < digits.size()
                   && std::isdigit(static_cast<unsigned char>(digits[i - 1])) != 0
                   && std::isdigit(static_cast<unsigned char>(digits[i + 1])) != 0;
    if (digits[i] == '_' && between)
      continue;
    if (i == 0 && digits[i] == '+' && digits.size() > 1 && digits[1] != '-')
      continue;
    plain += digits[i];
  }
  int64_t number = 0;
  auto [end, failure] = std::from_chars(plain.data(), plain.data() + plain.size(), number);
  if (plain.empty() || failure != std::errc{} || end != plain.data() + plain.size())
    return {{}, "needs an integer, not " + in_quotes(text)};
  return {number, {}};
}

parsed<double> parse_python_float(std::string_view text) {
  auto digits = trimmed(text);
  if (digits.starts_with('+') && !digits.starts_with("+-"))
    digits.remove_prefix(1);
  double number = 0;
  auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || failure != std::errc{} || end != digits.data() + digits.size()
      || !std::isfinite(number))
    return {{}, "needs a number, not " + in_quotes(text)};
  return {number, {}};
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    auto comma = std::min(text.find(','), text.size());
    auto item = trimmed(text.substr(0, comma));
    if (!item.empty())
      items.emplace_back(item);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

parsed<std::string> parse_base_url(const given_value& given) {
  auto text = parse_text(given);
  if (!text.value)
    return text;
  std::string url = given.form == text_form::compat ? strip_quotes(*text.value) : *text.value;
  for (std::string_view tail : {"/", "/index.php"})
    if (url.ends_with(tail))
      url.resize(url.size() - tail.size());
  auto scheme_end = url.find("://");
  auto scheme = lower(url.substr(0, scheme_end == url.npos ? 0 : scheme_end));
  if (scheme != "http" && scheme != "https")
    return {{}, "needs a URL that begins with https:// or http://, not " + in_quotes(url)};
  auto rest = std::string_view{url}.substr(scheme_end + 3);
  auto host = rest.substr(0, rest.find('/'));
  if (host.empty() || host.starts_with(':'))
    return {{}, "names no host: " + in_quotes(url)};
  if (host.find('@') != host.npos)
    return {{}, "must not contain a user name or password"};
  if (rest.find_first_of(" ?#\"<>\\") != rest.npos)
    return {{}, "is a base URL and cannot contain blanks, quotes, '?' or '#': " + in_quotes(url)};
  return {scheme + url.substr(scheme_end), {}};
}

} // namespace harp::web
