// JSON for people. Knows no schema: scalars become lines, lists of objects become tables.
#include "net/visible_text.hpp"
#include "web/cli_settings.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;

constexpr size_t depth_max = 8; // deeper values are printed as JSON

std::string plain(const json& value) {
  std::string text;
  if (value.is_string())
    net::append_visible(text, value.get_ref<const std::string&>());
  else if (value.is_array() && std::none_of(value.begin(), value.end(), [](const json& item) {
             return item.is_structured();
           })) {
    for (const auto& item : value)
      text += (text.empty() ? "" : ", ") + plain(item);
  } else {
    net::append_visible(text, value.dump(-1, ' ', false, json::error_handler_t::replace));
  }
  return text;
}

bool is_table(const json& value) {
  return value.is_array() && !value.empty()
         && std::all_of(value.begin(), value.end(),
                        [](const json& row) { return row.is_object(); });
}

std::string visible_key(const std::string& key) {
  std::string text;
  net::append_visible(text, key);
  return text;
}

void append_table(std::string& out, const json& rows, const std::string& margin) {
  std::vector<std::string> columns;
  for (const auto& row : rows)
    for (const auto& [key, value] : row.items())
      if (std::find(columns.begin(), columns.end(), key) == columns.end())
        columns.push_back(key);
  std::vector<std::vector<std::string>> cells{{}};
  for (const auto& column : columns)
    cells.front().push_back(visible_key(column));
  for (const auto& row : rows) {
    cells.emplace_back();
    for (const auto& column : columns)
      cells.back().push_back(row.contains(column) ? plain(row[column]) : "");
  }
  std::vector<size_t> widths(columns.size());
  for (const auto& line : cells)
    for (size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], line[i].size());
  for (const auto& line : cells) {
    auto text = margin;
    for (size_t i = 0; i < line.size(); ++i)
      text += line[i] + std::string(widths[i] - line[i].size() + 2, ' ');
    out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  }
}

void append_value(std::string& out, const json& value, size_t depth) {
  std::string margin(depth * 2, ' ');
  if (is_table(value)) {
    append_table(out, value, margin);
    return;
  }
  if (!value.is_object() || depth == depth_max) {
    out += margin + plain(value) + "\n";
    return;
  }
  size_t width = 0;
  for (const auto& [key, inner] : value.items())
    if (!inner.is_object() && !is_table(inner))
      width = std::max(width, visible_key(key).size());
  for (const auto& [key, inner] : value.items()) {
    auto name = visible_key(key);
    if (is_table(inner) || (inner.is_object() && !inner.empty())) {
      out += margin + name + "\n";
      append_value(out, inner, depth + 1);
    } else {
      auto text = inner.empty() ? std::string{"none"} : plain(inner);
      auto gap = width > name.size() ? width - name.size() : 0;
      out += margin + name + std::string(gap + 2, ' ') + text + "\n";
    }
  }
}

} // namespace

std::string readable(const std::string& json_text) {
  std::string out;
  auto value = json::parse(json_text, nullptr, false);
  if (value.is_discarded()) {
    size_t start = 0;
    while (start < json_text.size()) { // plain text of several lines stays that
      auto end = std::min(json_text.find('\n', start), json_text.size());
      net::append_visible(out, std::string_view{json_text}.substr(start, end - start));
      out += '\n';
      start = end + 1;
    }
    return out;
  }
  append_value(out, value, 0);
  return out;
}

} // namespace harp::web
