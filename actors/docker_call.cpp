#include "actors/docker_call.hpp"

#include "actors/path_check.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

namespace harp {

namespace {

constexpr size_t version_bytes_max = 12;
constexpr size_t query_pairs_max = 32;
constexpr size_t tag_bytes_max = 128;
constexpr size_t digest_hex_bytes_min = 32;
constexpr size_t tail_digits_max = 9;
constexpr std::string_view container_prefix = "nc_app_";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_alphanumeric(char c) {
  return is_letter(c) || is_digit(c);
}

bool is_name_byte(char c) {
  return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
}

bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

template <class Test>
bool all_of(std::string_view text, Test test) {
  return !text.empty() && std::all_of(text.begin(), text.end(), test);
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix)
    return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (text.size() < suffix.size() || text.substr(text.size() - suffix.size()) != suffix)
    return false;
  text.remove_suffix(suffix.size());
  return true;
}

/// Takes `/v1`, `/v1.41` off the front when something follows it.
std::string take_version(std::string_view& path) {
  if (path.size() < 3 || path.substr(0, 2) != "/v" || !is_digit(path[2]))
    return {};
  size_t end = std::min(path.find_first_not_of("0123456789.", 2), path.size());
  auto version = path.substr(0, end);
  bool is_version = end < path.size() && path[end] == '/' && version.size() <= version_bytes_max
                    && version.back() != '.' && version.find("..") == version.npos;
  if (!is_version)
    return {};
  path.remove_prefix(end);
  return std::string(version);
}

/// Known query keys with their decoded values.
class query_values {
public:
  /// False when the query is malformed.
  bool read(std::string_view query) {
    while (!query.empty()) {
      size_t end = std::min(query.find('&'), query.size());
      if (end > 0 && !read_pair(query.substr(0, end)))
        return false;
      query.remove_prefix(std::min(end + 1, query.size()));
    }
    return true;
  }

  /// How often the key was given.
  [[nodiscard]] size_t count(std::string_view key) const {
    return static_cast<size_t>(std::count_if(pairs_.begin(), pairs_.end(),
                                             [&](const auto& pair) { return pair.first == key; }));
  }

  [[nodiscard]] std::string_view value(std::string_view key) const {
    for (const auto& pair : pairs_) {
      if (pair.first == key)
        return pair.second;
    }
    return {};
  }

private:
  bool read_pair(std::string_view text) {
    size_t equals = std::min(text.find('='), text.size());
    auto key = percent_decode(text.substr(0, equals), true);
    auto value = percent_decode(text.substr(std::min(equals + 1, text.size())), true);
    if (!key || !value || pairs_.size() == query_pairs_max)
      return false;
    pairs_.emplace_back(std::move(*key), std::move(*value));
    return true;
  }

  std::vector<std::pair<std::string, std::string>> pairs_;
};

bool is_switch(std::string_view value) {
  return value == "true" || value == "false" || value == "1" || value == "0";
}

bool is_tail(std::string_view value) {
  return value == "all" || (value.size() <= tail_digits_max && all_of(value, is_digit));
}

/// The query of a log call, or nothing when a known key is not as it should be.
std::optional<std::string> log_query(const query_values& given) {
  struct known {
    std::string_view key;
    bool (*fits)(std::string_view);
  };
  constexpr known keys[] = {{"stdout", is_switch}, {"stderr", is_switch}, {"tail", is_tail}};
  std::string result;
  for (const auto& [key, fits] : keys) {
    size_t count = given.count(key);
    if (count == 0)
      continue;
    if (count > 1 || !fits(given.value(key)))
      return std::nullopt;
    result.append(result.empty() ? "?" : "&").append(key).append("=").append(given.value(key));
  }
  return result;
}

bool is_container_name(std::string_view name) {
  return name.size() <= container_name_bytes_max && take_prefix(name, container_prefix)
         && all_of(name, is_name_byte);
}

/// An image reference as a path: the characters that a reference needs are lawful there as they
/// are.
std::optional<docker_call> get_call(std::string_view path, const query_values& query) {
  if (path == "/_ping")
    return docker_call{"GET", "/_ping", false};
  if (take_prefix(path, "/images/"))
    return take_suffix(path, "/json") && is_image_reference(path)
               ? std::optional{docker_call{"GET", "/images/" + std::string(path) + "/json", false}}
               : std::nullopt;
  if (!take_prefix(path, "/containers/"))
    return std::nullopt;
  bool is_logs = take_suffix(path, "/logs");
  if ((!is_logs && !take_suffix(path, "/json")) || !is_container_name(path))
    return std::nullopt;
  std::string target = "/containers/" + std::string(path);
  if (!is_logs)
    return docker_call{"GET", target + "/json", false};
  auto text = log_query(query);
  return text ? std::optional{docker_call{"GET", target + "/logs" + *text, true}} : std::nullopt;
}

std::optional<docker_call> post_call(std::string_view path, const query_values& query) {
  if (path != "/images/create" || query.count("fromImage") != 1)
    return std::nullopt;
  auto image = query.value("fromImage");
  if (!is_image_reference(image))
    return std::nullopt;
  return docker_call{"POST", "/images/create?fromImage=" + percent_encode(image), true};
}

/// `algorithm:hex` behind an `@`.
bool is_digest(std::string_view text) {
  size_t colon = text.find(':');
  if (colon == text.npos || colon == 0 || !is_letter(text[0]))
    return false;
  bool algorithm_fits = all_of(text.substr(0, colon), [](char c) {
    return is_alphanumeric(c) || c == '+' || c == '.' || c == '_' || c == '-';
  });
  auto hex = text.substr(colon + 1);
  return algorithm_fits && hex.size() >= digest_hex_bytes_min && all_of(hex, is_hex);
}

bool is_image_component(std::string_view part) {
  return all_of(part, is_name_byte) && is_alphanumeric(part.front()) && is_alphanumeric(part.back())
         && part.find("..") == part.npos;
}

/// `host:port`, only in front of a name.
bool is_registry(std::string_view part) {
  size_t colon = part.find(':');
  if (colon == part.npos)
    return is_image_component(part);
  auto digits = part.substr(colon + 1);
  return is_image_component(part.substr(0, colon)) && digits.size() <= 5
         && all_of(digits, is_digit);
}

} // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    if (c == '%') {
      auto digits = text.substr(at + 1, 2);
      unsigned byte = 0;
      if (digits.size() != 2 || !all_of(digits, is_hex))
        return std::nullopt;
      std::from_chars(digits.data(), digits.data() + 2, byte, 16);
      c = static_cast<char>(byte);
      at += 2;
    } else if (c == '+' && plus_is_blank) {
      c = ' ';
    }
    result.push_back(c);
  }
  return result;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  result.reserve(text.size());
  for (char c : text) {
    if (is_name_byte(c) || c == '~') {
      result.push_back(c);
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    (result += '%') += digits[byte >> 4];
    result += digits[byte & 15];
  }
  return result;
}

bool is_image_reference(std::string_view text) {
  if (text.empty() || text.size() > image_reference_bytes_max)
    return false;
  if (size_t at = text.find('@'); at != text.npos) {
    if (!is_digest(text.substr(at + 1)))
      return false;
    text = text.substr(0, at);
  }
  size_t slash = text.rfind('/');
  size_t colon = text.rfind(':');
  if (colon != text.npos && (slash == text.npos || colon > slash)) {
    auto tag = text.substr(colon + 1);
    bool tag_fits = tag.size() <= tag_bytes_max && all_of(tag, is_name_byte)
                    && (is_alphanumeric(tag.front()) || tag.front() == '_');
    if (!tag_fits)
      return false;
    text = text.substr(0, colon);
  }
  for (bool is_first = true;; is_first = false) {
    size_t end = std::min(text.find('/'), text.size());
    bool is_last = end == text.size();
    auto part = text.substr(0, end);
    if (is_first && !is_last ? !is_registry(part) : !is_image_component(part))
      return false;
    if (is_last)
      return true;
    text.remove_prefix(end + 1);
  }
}

std::optional<uint16_t> parse_engine_port(std::string_view value) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), port);
  if (value.empty() || error != std::errc{} || end != value.data() + value.size() || port == 0)
    return std::nullopt;
  return port;
}

std::optional<docker_call> rebuild_docker_call(std::string_view method, std::string_view path,
                                               std::string_view query) {
  if (path.size() + query.size() > docker_target_bytes_max || check_path(path) != path_fault::none)
    return std::nullopt;
  auto decoded = percent_decode(path, false);
  query_values values;
  if (!decoded || !values.read(query))
    return std::nullopt;
  std::string_view rest = *decoded;
  std::string version = take_version(rest);
  bool is_get = method == "GET" || method == "HEAD";
  if (!is_get && method != "POST")
    return std::nullopt;
  auto call = is_get ? get_call(rest, values) : post_call(rest, values);
  if (!call)
    return std::nullopt;
  call->method = method;
  call->target.insert(0, version);
  return call;
}

} // namespace harp
