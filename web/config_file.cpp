#include "web/config_file.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace harp::web {

namespace {

namespace fs = std::filesystem;

std::string place_of(const std::string& file, const toml::source_region& where) {
  return file + ":" + std::to_string(where.begin.line);
}

/// Text and form of a leaf; nothing for values that no key takes (dates, mixed lists).
std::optional<given_value> leaf(const toml::node& node) {
  if (auto text = node.value_exact<std::string>())
    return given_value{*text, text_form::toml_string};
  if (auto number = node.value_exact<int64_t>())
    return given_value{std::to_string(*number), text_form::toml_integer};
  if (auto flag = node.value_exact<bool>())
    return given_value{*flag ? "true" : "false", text_form::toml_boolean};
  if (auto number = node.value_exact<double>()) {
    std::ostringstream text;
    text << *number;
    return given_value{text.str(), text_form::toml_float};
  }
  const auto* list = node.as_array();
  if (list == nullptr)
    return std::nullopt;
  given_value joined{{}, text_form::toml_strings};
  for (const auto& item : *list) {
    auto text = item.value_exact<std::string>();
    if (!text || text->find(',') != std::string::npos)
      return std::nullopt;
    joined.text += (joined.text.empty() ? "" : ",") + *text;
  }
  return joined;
}

void flatten(const toml::table& table, const std::string& prefix, const std::string& file,
             file_rows& out) {
  for (auto&& [key, node] : table) {
    auto name = prefix + std::string{key.str()};
    // two levels exist: what is nested deeper keeps its dotted name and is refused as an unknown
    // key
    if (const auto* inner = node.as_table()) {
      flatten(*inner, name + ".", file, out);
      continue;
    }
    auto place = place_of(file, key.source());
    if (auto given = leaf(node))
      out.rows.push_back({name, std::move(*given), place});
    else
      out.errors.push_back(place + ": " + name
                           + ": needs a string, number, boolean or a list of strings");
  }
}

/// Reads at most one byte more than allowed, so that too much is noticed.
std::optional<std::string> read_bounded(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return std::nullopt;
  std::string text(config_file_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad())
    return std::nullopt;
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

void append(file_rows& to, file_rows&& from) {
  std::move(from.rows.begin(), from.rows.end(), std::back_inserter(to.rows));
  std::move(from.errors.begin(), from.errors.end(), std::back_inserter(to.errors));
}

void read_one(const fs::path& path, file_rows& out) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) {
    out.errors.push_back(path.string() + ": is a directory");
    return;
  }
  auto text = read_bounded(path);
  if (!text)
    out.errors.push_back(path.string() + ": cannot be read");
  else
    append(out, parse_config_text(*text, path.string()));
}

std::vector<fs::path> drop_ins_of(const std::string& file, file_rows& out) {
  std::vector<fs::path> found;
  std::error_code failure;
  fs::directory_iterator entries{file + ".d", failure};
  if (failure && failure != std::errc::no_such_file_or_directory)
    out.errors.push_back(file + ".d: cannot be read: " + failure.message());
  for (; !failure && entries != fs::directory_iterator{}; entries.increment(failure))
    if (entries->path().extension() == ".toml")
      found.push_back(entries->path());
  std::sort(found.begin(), found.end());
  if (found.size() > drop_ins_max) {
    out.errors.push_back(file + ".d: has more than " + std::to_string(drop_ins_max) + " files");
    found.clear();
  }
  return found;
}

} // namespace

file_rows parse_config_text(std::string_view text, const std::string& file) {
  file_rows out;
  if (text.size() > config_file_bytes_max) {
    out.errors.push_back(file + ": is larger than " + std::to_string(config_file_bytes_max)
                         + " bytes");
    return out;
  }
  try {
    flatten(toml::parse(text), "", file, out);
  } catch (const toml::parse_error& error) {
    out.rows.clear();
    out.errors.push_back(place_of(file, error.source()) + ": " + std::string{error.description()});
  }
  // tables are sorted by name; people read a file from the top
  std::stable_sort(out.rows.begin(), out.rows.end(), [](const file_row& a, const file_row& b) {
    auto line = [](const file_row& row) {
      return std::stoul(row.place.substr(row.place.rfind(':') + 1));
    };
    return line(a) < line(b);
  });
  return out;
}

file_rows read_config_files(const std::string& file) {
  file_rows out;
  std::error_code failure;
  if (fs::exists(file, failure))
    read_one(file, out);
  for (const auto& drop_in : drop_ins_of(file, out))
    read_one(drop_in, out);
  return out;
}

} // namespace harp::web
