#include "actors/json_fields.hpp"

#include <set>
#include <vector>

namespace harp {

using nlohmann::json;

std::optional<json> parse_call_object(std::string_view text, std::string& error) {
  std::vector<std::set<std::string>> seen;
  auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > static_cast<int>(call_json_depth_max))
      error = "the body is nested too deeply";
    if (event == json::parse_event_t::object_start)
      seen.emplace_back();
    else if (event == json::parse_event_t::object_end)
      seen.pop_back();
    else if (event == json::parse_event_t::key
             && !seen.back().insert(parsed.get<std::string>()).second)
      error = "a key is given twice";
    return error.empty();
  };
  auto value = json::parse(text, watch, false);
  if (error.empty() && !value.is_object())
    error = "the body is not a JSON object";
  return error.empty() ? std::optional{std::move(value)} : std::nullopt;
}

const json* json_fields::find(const char* key) const {
  auto found = from_.find(key);
  return found == from_.end() || found->is_null() ? nullptr : &*found;
}

void json_fields::fail(const char* key, const char* what) {
  if (error_.empty())
    error_ = std::string{key} + ": " + what;
}

void json_fields::text(const char* key, std::string& into) {
  if (const json* value = find(key)) {
    if (value->is_string())
      into = value->get<std::string>();
    else
      fail(key, "must be a string");
  }
}

void json_fields::flag(const char* key, bool& into) {
  if (const json* value = find(key)) {
    if (value->is_boolean())
      into = value->get<bool>();
    else
      fail(key, "must be true or false");
  }
}

void json_fields::amount(const char* key, std::optional<int64_t>& into) {
  const json* value = find(key);
  if (value == nullptr)
    return;
  bool fits = value->is_number_integer()
              && (!value->is_number_unsigned() || value->get<uint64_t>() <= uint64_t{INT64_MAX})
              && value->get<int64_t>() >= 0;
  if (fits)
    into = value->get<int64_t>();
  else
    fail(key, "must be a whole number that is not negative");
}

void json_fields::number(const char* key, double low, double high, double& into) {
  const json* value = find(key);
  if (value == nullptr)
    return;
  double given = value->is_number() ? value->get<double>() : low - 1;
  if (given >= low && given <= high)
    into = given;
  else
    fail(key, "is not a number within its bounds");
}

void json_fields::port(const char* key, std::optional<uint16_t>& into) {
  std::optional<int64_t> given;
  amount(key, given);
  if (!given)
    return;
  if (*given >= 1 && *given <= 65535)
    into = static_cast<uint16_t>(*given);
  else
    fail(key, "must be 1-65535");
}

void json_fields::texts(const char* key, size_t entries_max,
                        std::map<std::string, std::string>& into) {
  const json* value = find(key);
  if (value == nullptr || (value->is_array() && value->empty()))
    return;
  if (!value->is_object() || value->size() > entries_max)
    return fail(key, "must be an object of few strings");
  for (const auto& [name, text] : value->items()) {
    if (!text.is_string())
      return fail(key, "must be an object of few strings");
    into.emplace(name, text.get<std::string>());
  }
}

} // namespace harp
