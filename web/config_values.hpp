// Turns one written value into a typed one. Strict for Harp's own names, forgiving as HaRP is for
// the names taken over from it.
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace harp::web {

inline constexpr size_t networks_max = 256;     // entries of one list of networks
inline constexpr size_t host_aliases_max = 256; // pod host aliases
inline constexpr size_t quote_bytes_max = 80;   // of a wrong value repeated in an error

/// A value, or what is wrong with the text, worded to follow the key's name.
template <class T>
struct parsed {
  std::optional<T> value;
  std::string error;
};

/// How a value was written, which decides the forms that are allowed.
enum class text_form : uint8_t {
  toml_string,
  toml_strings, // a list; text has the items joined by commas
  toml_integer,
  toml_float,
  toml_boolean,
  strict, // HARP_* and flags
  compat, // HP_* and NC_INSTANCE_URL: the forms of appapi-harp.md 1.2
};

struct given_value {
  std::string text;
  text_form form = text_form::strict;
};

using notes = std::vector<std::string>;

/// `text` in double quotes, control bytes made visible, cut at quote_bytes_max.
std::string in_quotes(std::string_view text);

/// Blanks, tabs and line ends removed from both ends.
std::string_view trimmed(std::string_view text);

/// What HaRP's start script removes: one `"` at each end, then one `'` at each end.
std::string strip_quotes(std::string_view text);

/// A string. Strict forms refuse quotes at its ends.
parsed<std::string> parse_text(const given_value& given);
parsed<bool> parse_flag(const given_value& given);
parsed<unsigned> parse_number(const given_value& given, unsigned least, unsigned most);
/// Python's int(): blanks around, a sign and single underscores allowed.
parsed<int64_t> parse_python_integer(std::string_view text);
/// Python's float() without its infinities and NaN.
parsed<double> parse_python_float(std::string_view text);
/// Comma list of addresses and CIDRs. Compat form: bad items are skipped with a note, quotes of any
/// kind are stripped.
parsed<std::vector<ip_network>> parse_networks(const given_value& given, notes& warnings);
/// Comma list of host:ip, split at the colon behind the host (IPv6 may be bracketed or bare).
/// Compat form skips malformed items.
parsed<std::vector<std::pair<std::string, std::string>>>
parse_host_aliases(const given_value& given, notes& warnings);
/// Base URL of Nextcloud: http or https, a host, maybe a path. One trailing `/`, then one trailing
/// `/index.php` are removed.
parsed<std::string> parse_base_url(const given_value& given);

/// Comma list -> trimmed items, empty ones left out.
std::vector<std::string> split_list(std::string_view text);

} // namespace harp::web
