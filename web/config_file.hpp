// Reads the TOML file and its drop-ins into flat (key, value, place) rows. Knows TOML, not the
// keys' meaning.
#pragma once

#include "web/config_values.hpp"

#include <string>
#include <vector>

namespace harp::web {

inline constexpr size_t config_file_bytes_max = 1024 * 1024;
inline constexpr size_t drop_ins_max = 64;

/// One `section.key = value` of a file.
struct file_row {
  std::string key;
  given_value given;
  std::string place; // FILE:LINE
};

struct file_rows {
  std::vector<file_row> rows;      // in the order of the file
  std::vector<std::string> errors; // each begins with FILE:LINE or FILE
};

/// Parses TOML text; `file` is only named in places. Duplicate keys and broken syntax are errors of
/// the whole file.
file_rows parse_config_text(std::string_view text, const std::string& file);

/// Reads FILE and, in the order of their names, FILE.d/*.toml. A FILE that is not there is no error
/// here.
file_rows read_config_files(const std::string& file);

} // namespace harp::web
