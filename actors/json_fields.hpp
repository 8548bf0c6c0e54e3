// Typed fields out of a caller's JSON object, strictly: keys given twice and deep nesting are errors
// (quality.md K02). Pure.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace harp {

inline constexpr size_t call_json_depth_max = 8;

/// Parses an object with two refusals that the library lacks: keys given twice, more than
/// call_json_depth_max levels. Nothing: `error` says why.
std::optional<nlohmann::json> parse_call_object(std::string_view text, std::string& error);

/// Takes fields out of one object; `error` keeps the first one. A field that is absent or null
/// leaves its target as it was. Errors name the field, never its value.
class json_fields {
public:
  json_fields(const nlohmann::json& from, std::string& error) : from_(from), error_(error) {}

  /// The field, or null when it is absent or JSON null.
  [[nodiscard]] const nlohmann::json* find(const char* key) const;
  void fail(const char* key, const char* what);
  void text(const char* key, std::string& into);
  void flag(const char* key, bool& into);
  /// A whole number that is not negative.
  void amount(const char* key, std::optional<int64_t>& into);
  /// A number from `low` to `high`, fractions allowed.
  void number(const char* key, double low, double high, double& into);
  /// A whole number from 1 to 65535.
  void port(const char* key, std::optional<uint16_t>& into);
  /// An object of strings, at most `entries_max`; PHP's `[]` counts as an empty one.
  void texts(const char* key, size_t entries_max, std::map<std::string, std::string>& into);

private:
  const nlohmann::json& from_;
  std::string& error_;
};

} // namespace harp
