#include "web/secret_text.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace harp::web {

parsed<std::string> read_secret_file(const std::string& path) {
  std::error_code failure;
  if (!std::filesystem::exists(path, failure))
    return {{}, "names " + in_quotes(path) + ", which does not exist"};
  if (std::filesystem::is_directory(path, failure))
    return {{}, "names " + in_quotes(path) + ", which is a directory"};
  std::ifstream in{path, std::ios::binary};
  std::string text(secret_file_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (in.fail() && !in.eof()))
    return {{}, "names " + in_quotes(path) + ", which cannot be read"};
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > secret_file_bytes_max)
    return {{},
            "names " + in_quotes(path) + ", which is larger than "
                + std::to_string(secret_file_bytes_max) + " bytes"};
  while (text.ends_with('\n') || text.ends_with('\r'))
    text.pop_back();
  if (text.empty())
    return {{}, "names " + in_quotes(path) + ", which is empty"};
  return {std::move(text), {}};
}

std::string shared_key_fault(std::string_view key) {
  if (key.empty())
    return "is empty";
  if (key.size() > shared_key_bytes_max)
    return "is longer than " + std::to_string(shared_key_bytes_max) + " bytes";
  bool control = std::any_of(key.begin(), key.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
  if (control)
    return "has control bytes, which no request header can carry";
  if (trimmed(key).size() != key.size())
    return "begins or ends with a blank, which request headers lose on their way";
  return {};
}

std::string shared_key_oddity(std::string_view key) {
  bool ascii = std::all_of(key.begin(), key.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
  if (!ascii)
    return "has bytes that are not printable ASCII: Harp takes them, HaRP and some clients do not";
  if (key.find_first_of("\"'\\") != key.npos)
    return "contains a quote or a backslash: it works and is part of the key, but a generated "
           "frpc.toml needs it escaped";
  return {};
}

} // namespace harp::web
