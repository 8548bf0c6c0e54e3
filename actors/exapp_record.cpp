#include "actors/exapp_record.hpp"

#include "actors/path_check.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

namespace harp {

namespace {

using nlohmann::json;

bool has_control_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= app_host_bytes_max
         && std::all_of(text.begin(), text.end(), [](char c) {
              return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                     || c == '.' || c == '-' || c == '_' || c == ':';
            });
}

/// Parses an object of bounded size and depth; nothing when it is not one.
std::optional<json> parse_object(std::string_view text, size_t bytes_max) {
  if (text.size() > bytes_max)
    return std::nullopt;
  bool too_deep = false;
  auto guard = [&too_deep](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || static_cast<size_t>(depth) > record_json_depth_max;
    return !too_deep;
  };
  json result = json::parse(text, guard, false);
  if (too_deep || !result.is_object())
    return std::nullopt;
  return result;
}

/// A field's value, or null when it is absent.
const json& field(const json& object, const char* name) {
  static const json null;
  auto found = object.find(name);
  return found == object.end() ? null : *found;
}

std::optional<std::string> text_of(const json& value, size_t bytes_max) {
  const auto* text = value.get_ptr<const std::string*>();
  if (text == nullptr || text->size() > bytes_max || has_control_bytes(*text))
    return std::nullopt;
  return *text;
}

/// An integer within bounds, given as such or as a decimal string, as some database drivers do.
std::optional<int> number_of(const json& value, int from, int to) {
  int64_t number = 0;
  if (const auto* text = value.get_ptr<const std::string*>()) {
    const char* end = text->data() + text->size();
    auto [stop, error] = std::from_chars(text->data(), end, number);
    if (text->empty() || error != std::errc{} || stop != end)
      return std::nullopt;
  } else if (value.is_number_unsigned()) {
    uint64_t wide = value.get<uint64_t>();
    number = wide > INT32_MAX ? -1 : static_cast<int64_t>(wide);
  } else if (value.is_number_integer()) {
    number = value.get<int64_t>();
  } else {
    return std::nullopt;
  }
  if (number < from || number > to)
    return std::nullopt;
  return static_cast<int>(number);
}

/// The status list of a route into `out`; false when its shape is wrong.
bool read_statuses(const json& value, std::shared_ptr<const std::vector<int>>& out) {
  if (value.is_null())
    return true;
  if (!value.is_array() || value.size() > counted_statuses_max)
    return false;
  auto statuses = std::make_shared<std::vector<int>>();
  for (const auto& item : value) {
    auto status = number_of(item, 0, 9999);
    if (!status)
      return false;
    statuses->push_back(*status);
  }
  if (!statuses->empty())
    out = std::move(statuses);
  return true;
}

class record_reader {
public:
  explicit record_reader(std::string_view app_id) { record_.app_id = lower_app_id(app_id); }

  std::variant<exapp_record, std::string> read(const json& object) {
    if (!read_target(object) || !read_routes(field(object, "routes")))
      return error_;
    return std::move(record_);
  }

private:
  bool fail(std::string words) {
    error_ = std::move(words);
    return false;
  }

  bool read_target(const json& object) {
    auto token = text_of(field(object, "exapp_token"), token_bytes_max);
    auto version = text_of(field(object, "exapp_version"), app_version_bytes_max);
    auto host = text_of(field(object, "host"), app_host_bytes_max + 2);
    auto port = number_of(field(object, "port"), 1, 65535);
    if (!token)
      return fail("exapp_token is missing or no plain string");
    if (!version)
      return fail("exapp_version is missing or no plain string");
    if (host && host->size() > 2 && host->front() == '[' && host->back() == ']')
      host = host->substr(1, host->size() - 2);
    if (!host || !is_host(*host))
      return fail("host is missing or neither an address nor a name");
    if (!port)
      return fail("port is missing or no number from 1 to 65535");
    record_.token = std::move(*token);
    record_.version = std::move(*version);
    record_.host = std::move(*host);
    record_.port = static_cast<uint16_t>(*port);
    return true;
  }

  bool read_routes(const json& routes) {
    if (routes.is_null())
      return true;
    if (!routes.is_array())
      return fail("routes is no list");
    if (routes.size() > record_routes_max)
      return fail("routes has more than " + std::to_string(record_routes_max) + " entries");
    record_.routes.reserve(routes.size());
    for (const auto& item : routes) {
      if (!read_route(item))
        return false;
    }
    if (slashless_ > 0)
      warn(std::to_string(slashless_)
           + " route patterns can never match, because a path begins with a slash");
    return true;
  }

  bool read_route(const json& item) {
    auto where = "routes[" + std::to_string(record_.routes.size()) + "]";
    if (!item.is_object())
      return fail(where + " is no object");
    exapp_route route;
    const auto* url = field(item, "url").get_ptr<const std::string*>();
    auto level = number_of(field(item, "access_level"), access_public, access_admin);
    if (url == nullptr)
      return fail(where + ".url is missing or no string");
    if (!level)
      return fail(where + ".access_level is missing or not 0, 1 or 2");
    if (!read_statuses(field(item, "bruteforce_protection"), route.counted_statuses))
      return fail(where + ".bruteforce_protection is no list of numbers");
    route.url = *url;
    route.access_level = *level;
    compile(route, where);
    record_.routes.push_back(std::move(route));
    return true;
  }

  void compile(exapp_route& route, const std::string& where) {
    auto compiled = route_pattern::compile(route.url);
    if (const auto* error = std::get_if<std::string>(&compiled)) {
      warn(where + " is skipped, its pattern is not usable: " + *error);
      return;
    }
    route.pattern = std::get<route_pattern>(std::move(compiled));
    if (!route.pattern->can_match_a_path())
      ++slashless_;
    else if (!route.pattern->is_bounded())
      warn(where + " has a pattern that cannot be matched in bounded time; long paths get 404");
  }

  void warn(std::string words) {
    if (record_.warnings.size() < record_warnings_max)
      record_.warnings.push_back(std::move(words));
  }

  exapp_record record_;
  std::string error_;
  size_t slashless_ = 0;
};

} // namespace

std::variant<exapp_record, std::string> parse_exapp_record(std::string_view app_id,
                                                           std::string_view json_text) {
  if (json_text.size() > record_bytes_max)
    return std::string{"the record is larger than 1 MiB"};
  auto object = parse_object(json_text, record_bytes_max);
  if (!object)
    return std::string{"the record is no JSON object"};
  return record_reader{app_id}.read(*object);
}

bool is_carriable_user_id(std::string_view text) {
  return text.size() <= user_id_bytes_max && !has_control_bytes(text)
         && text.find(':') == text.npos;
}

std::variant<user_info, std::string> parse_user_info(std::string_view json_text) {
  auto object = parse_object(json_text, user_info_bytes_max);
  if (!object)
    return std::string{"the user info is no JSON object"};
  user_info result;
  const json& id = field(*object, "user_id");
  auto level = number_of(field(*object, "access_level"), access_public, access_admin);
  if (!id.is_null()) {
    const auto* text = id.get_ptr<const std::string*>();
    if (text == nullptr || !is_carriable_user_id(*text))
      return std::string{"user_id is no string that a credential can carry"};
    result.user_id = *text;
  }
  if (!level)
    return std::string{"access_level is missing or not 0, 1 or 2"};
  if (*level > access_public && result.user_id.empty())
    return std::string{"access_level is above 0 without a user_id"};
  result.access_level = *level;
  return result;
}

} // namespace harp
