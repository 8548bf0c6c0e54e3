// Texts of people into paths, times and versions, and back.
#include "actors/bridge_storage_inside.hpp"
#include "storage/folder_rows_lmdb.hpp"
#include "storage/names.hpp"
#include "storage/node_store.hpp"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>

namespace harp {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t span_ms_max = 100ull * 366 * 24 * 3600 * 1000;

/// Empty when it is absent or something else: this runs on the store's thread, where nothing may throw.
std::string text_in(const json& arguments, const char* name) {
  auto found = arguments.find(name);
  return found != arguments.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

/// "a//b/./c/" -> "a/b/c", names in NFC; a failure when it could not be a path of a space.
std::variant<std::string, call_failure> plain_path(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    auto part = text.substr(0, text.find('/'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (part.empty() || part == ".")
      continue;
    auto name = to_nfc(part);
    if (!name || !is_lawful_name(*name))
      return call_failure{400, "the path has a part that cannot be a name", "use names of 1 to 255 bytes of UTF-8; `..` is not followed inside a space"};
    out += (out.empty() ? "" : "/") + *name;
  }
  return out;
}

/// `path` below `dir`: relative, "" for the directory itself; nothing when it lies elsewhere.
std::optional<std::string> below(const std::string& dir, const std::string& path) {
  if (dir.empty() || !path.starts_with(dir))
    return std::nullopt;
  if (path.size() == dir.size())
    return std::string{};
  return path[dir.size()] == '/' ? std::optional{path.substr(dir.size() + 1)} : std::nullopt;
}

/// Names on disk may be aliases: what stands there is known by its row, what does not is named as it is.
std::string as_shown(const space_store& space, const std::string& on_disk) {
  std::string out = on_disk;
  space.read([&](const read_txn& txn, space_rows& rows) {
    folder_rows_lmdb base{txn};
    space_tree tree{rows};
    auto known = [&](std::string_view path) -> std::optional<std::string> {
      auto lid = path.empty() ? root_lid : base_at_path(base, path);
      return lid != 0 ? tree.path_of(lid) : std::nullopt;
    };
    auto [dir, name] = split_path(on_disk);
    if (auto whole = known(on_disk))
      out = *whole;
    else if (auto above = known(dir))
      out = join_path(*above, name);
  });
  return out;
}

std::optional<meant_path> in_a_folder(const node_store& all, const std::string& absolute) {
  const held_space* best = nullptr;
  std::string rest;
  std::error_code ignored;
  auto real = fs::weakly_canonical(absolute, ignored).string();
  for (const auto& held : all.conf()->spaces)
    for (const auto& path : {absolute, real})
      if (auto relative = below(held.dir, path); relative && (best == nullptr || held.dir.size() > best->dir.size())) {
        best = &held;
        rest = *relative;
      }
  auto* space = best != nullptr ? all.find(best->id) : nullptr;
  if (space == nullptr)
    return std::nullopt;
  while (rest.ends_with('/'))
    rest.pop_back();
  return meant_path{space, as_shown(*space, rest)};
}

/// Exactly `digits` digits at `at`, behind which it then stands.
bool take_number(std::string_view text, size_t& at, size_t digits, int& out) {
  if (text.size() < at + digits)
    return false;
  auto* from = text.data() + at;
  for (size_t i = 0; i < digits; ++i)
    if (from[i] < '0' || from[i] > '9')
      return false;
  std::from_chars(from, from + digits, out);
  at += digits;
  return true;
}

bool take_char(std::string_view text, size_t& at, std::string_view any_of) {
  if (at >= text.size() || any_of.find(text[at]) == any_of.npos)
    return false;
  ++at;
  return true;
}

/// Digits behind a point as milliseconds; more than three are cut.
bool take_fraction(std::string_view text, size_t& at, int& ms) {
  if (!take_char(text, at, "."))
    return true;
  size_t from = at;
  int weight = 100;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    ms += weight * (text[at] - '0');
    weight /= 10;
  }
  return at > from;
}

/// "Z", "+01:00": minutes to be taken away.
bool take_zone(std::string_view text, size_t& at, int& minutes) {
  if (take_char(text, at, "Zz"))
    return true;
  bool west = at < text.size() && text[at] == '-';
  int hour = 0;
  int minute = 0;
  if (!take_char(text, at, "+-") || !take_number(text, at, 2, hour) || !take_char(text, at, ":") || !take_number(text, at, 2, minute) || hour > 23 || minute > 59)
    return false;
  minutes = (west ? -1 : 1) * (hour * 60 + minute);
  return true;
}

} // namespace

std::variant<meant_path, call_failure> find_path(const node_store& all, const json& arguments) {
  auto path = text_in(arguments, "path");
  if (path.empty())
    return call_failure{400, "no path was given", "name one: SPACE:path, or a path inside a shared folder"};
  std::string error;
  auto colon = path.find(':');
  bool named = colon != path.npos && colon > 0 && path.find('/') > colon;
  if (named)
    if (auto* space = all.find(path.substr(0, colon), error)) {
      auto inside = plain_path(std::string_view{path}.substr(colon + 1));
      if (auto* failure = std::get_if<call_failure>(&inside))
        return *failure;
      return meant_path{space, std::get<std::string>(inside)};
    }
  auto absolute = text_in(arguments, "absolute");
  if (auto found = in_a_folder(all, absolute.empty() ? path : absolute)) {
    auto inside = plain_path(found->path);
    if (auto* failure = std::get_if<call_failure>(&inside))
      return *failure;
    return meant_path{found->space, std::get<std::string>(inside)};
  }
  std::string ignored;
  if (auto* space = all.find(path, ignored))
    return meant_path{space, {}};
  if (named)
    return call_failure{404, error, "`harp space ls` lists them"};
  return call_failure{404, path + " is in no folder that this device shares", "name it as SPACE:path; `harp space ls` lists the spaces"};
}

std::optional<uint64_t> parse_span_ms(const std::string& text) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end + 1 != text.data() + text.size())
    return std::nullopt;
  uint64_t unit_ms = *end == 's' ? 1'000 : *end == 'm' ? 60'000 : *end == 'h' ? 3'600'000 : *end == 'd' ? 86'400'000 : 0;
  if (unit_ms == 0 || number > span_ms_max / unit_ms)
    return std::nullopt;
  return number * unit_ms;
}

std::optional<uint64_t> parse_time_ms(const std::string& text, uint64_t now_ms) {
  if (auto back = parse_span_ms(text))
    return *back <= now_ms ? std::optional{now_ms - *back} : std::nullopt;
  size_t at = 0;
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0, zone = 0;
  bool read = take_number(text, at, 4, year) && take_char(text, at, "-") && take_number(text, at, 2, month) && take_char(text, at, "-")
              && take_number(text, at, 2, day) && take_char(text, at, "Tt ") && take_number(text, at, 2, hour) && take_char(text, at, ":")
              && take_number(text, at, 2, minute) && take_char(text, at, ":") && take_number(text, at, 2, second) && take_fraction(text, at, ms)
              && take_zone(text, at, zone);
  using namespace std::chrono;
  year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)}, std::chrono::day{static_cast<unsigned>(day)}};
  if (!read || at != text.size() || !date.ok() || hour > 23 || minute > 59 || second > 59)
    return std::nullopt;
  auto moment = sys_days{date} + hours{hour} + minutes{minute - zone} + seconds{second} + milliseconds{ms};
  auto count = duration_cast<milliseconds>(moment.time_since_epoch()).count();
  return count >= 0 ? std::optional{static_cast<uint64_t>(count)} : std::nullopt;
}

std::string time_text(uint64_t unix_ms) {
  using namespace std::chrono;
  constexpr uint64_t ms_max = 253'402'300'799'999; // the end of year 9999; a clock value of anybody may be greater
  auto total = milliseconds{std::min(unix_ms, ms_max)};
  auto whole = floor<days>(total);
  year_month_day date{sys_days{whole}};
  hh_mm_ss time{total - whole};
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()), static_cast<int>(time.subseconds().count()));
  return text;
}

std::string stamp_text(const stamp& at) {
  char text[48];
  std::snprintf(text, sizeof text, "%llx-%u-%u", static_cast<unsigned long long>(at.hlc), static_cast<unsigned>(at.rid), static_cast<unsigned>(at.idx));
  return text;
}

std::optional<stamp> parse_stamp(std::string_view text) {
  stamp out;
  const char* at = text.data();
  const char* end = at + text.size();
  auto take = [&](auto& number, int base, bool last) {
    auto [next, error] = std::from_chars(at, end, number, base);
    if (error != std::errc{} || (last ? next != end : next == end || *next != '-'))
      return false;
    at = next + (last ? 0 : 1);
    return true;
  };
  if (!take(out.hlc, 16, false) || !take(out.rid, 10, false) || !take(out.idx, 10, true) || out.is_zero())
    return std::nullopt;
  return out;
}

json author_of(const roster& members, replica_id rid, const std::string& acting_user) {
  auto* member = members.member(rid);
  json out{{"device", member != nullptr && !member->name.empty() ? member->name : "replica " + std::to_string(rid)}};
  auto user = !acting_user.empty() ? acting_user : member != nullptr ? member->user : std::string{};
  if (!user.empty())
    out["user"] = user;
  return out;
}

} // namespace harp
