// UTF-8 and NFC through utf8proc, with a fast way for plain ASCII.
#include "storage/names.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utf8proc.h>

namespace harp {

namespace {

struct free_deleter {
  void operator()(utf8proc_uint8_t* bytes) const { std::free(bytes); }
};

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

} // namespace

std::optional<std::string> to_nfc(std::string_view name) {
  if (name.size() > disk_name_bytes_max)
    return std::nullopt;
  if (is_ascii(name))
    return std::string(name);
  utf8proc_uint8_t* raw = nullptr;
  auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(name.data()),
                           static_cast<utf8proc_ssize_t>(name.size()), &raw,
                           static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  std::unique_ptr<utf8proc_uint8_t, free_deleter> owned{raw};
  if (size < 0)
    return std::nullopt;
  return std::string(reinterpret_cast<const char*>(raw), static_cast<size_t>(size));
}

bool is_lawful_name(std::string_view name) {
  if (name.empty() || name.size() > name_bytes_max || name == "." || name == "..")
    return false;
  if (name.find('/') != name.npos || name.find('\0') != name.npos)
    return false;
  if (is_ascii(name))
    return true;
  auto normal = to_nfc(name);
  return normal && *normal == name;
}

} // namespace harp
