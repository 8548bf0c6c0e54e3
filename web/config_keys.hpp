// The table of keys behind load_config, config show and the reference: for each key its names, its
// parser and its printer.
#pragma once

#include "web/config.hpp"
#include "web/config_values.hpp"

#include <string>
#include <vector>

namespace harp::web {

/// What loading needs to know of a key beyond its documentation.
struct key_entry {
  key_info info;
  bool opens_proxy
      = false; // giving it (file, HARP_* or HP_*) opens the HaRP plane: it has an HP_* name there
  /// Puts a value in its place; returns what is wrong with it ("" = nothing), worded to follow the
  /// name.
  std::string (*apply)(config& into, const given_value& given, notes& warnings) = nullptr;
  /// The value in the form in which it is written; secrets are shown as "(set)" or "".
  std::string (*show)(const config& from) = nullptr;
  bool serves_entry = false; // an entry node heeds it too: with proxy.entry only its HP_* name opens the HaRP plane
};

const std::vector<key_entry>& key_table();

/// The entry with this TOML name, or null.
const key_entry* find_key(std::string_view name);

} // namespace harp::web
