#include "storage/node_conf.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>

namespace harp {

namespace {

using json = nlohmann::ordered_json;

std::string words(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

/// A parsed file, or nothing when a field is missing or malformed.
std::optional<node_conf> from_json(const json& in) {
  node_conf out;
  auto cluster = space_id::parse(in.value("cluster", ""));
  auto governor = device_key::parse(in.value("governor", ""));
  if (!cluster || !governor || !in.contains("spaces") || !in["spaces"].is_array()
      || in["spaces"].size() > held_spaces_max)
    return std::nullopt;
  out.cluster = *cluster;
  out.governor = *governor;
  out.name = in.value("name", "");
  out.listen = in.value("listen", "");
  for (const auto& address : in.value("addresses", json::array()))
    out.addresses.push_back(address.get<std::string>());
  out.listened = in.value("listened", "");
  for (const auto& row : in.value("members", json::array()))
    if (auto device = device_key::parse(row.value("device", "")))
      out.remember(*device, row.value("addresses", std::vector<std::string>{}));
  for (const auto& row : in["spaces"]) {
    auto id = space_id::parse(row.value("id", ""));
    auto mode = parse_keep_mode(row.value("mode", ""));
    if (!id || !mode)
      return std::nullopt;
    out.spaces.push_back({*id, row.value("dir", ""), *mode});
  }
  return out;
}

} // namespace

std::string_view to_string(keep_mode mode) {
  switch (mode) {
  case keep_mode::full:
    return "full";
  case keep_mode::online_only:
    return "online-only";
  case keep_mode::ignore:
    return "ignore";
  }
  return "full";
}

std::optional<keep_mode> parse_keep_mode(std::string_view text) {
  for (auto mode : {keep_mode::full, keep_mode::online_only, keep_mode::ignore})
    if (text == to_string(mode))
      return mode;
  return std::nullopt;
}

const held_space* node_conf::find(const space_id& id) const {
  for (const auto& space : spaces)
    if (space.id == id)
      return &space;
  return nullptr;
}

bool node_conf::remember(const device_key& member, std::vector<std::string> where) {
  if (where.size() > remembered_addresses_max)
    where.resize(remembered_addresses_max);
  auto known = members.find(member);
  if (where.empty() || (known == members.end() && members.size() >= remembered_members_max)
      || (known != members.end() && known->second == where))
    return false;
  members[member] = std::move(where);
  return true;
}

std::variant<std::optional<node_conf>, std::string> node_conf::load(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return errno == ENOENT
               ? std::variant<std::optional<node_conf>, std::string>{std::optional<node_conf>{}}
               : words(path);
  std::string text(node_conf_bytes_max, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  auto parsed = json::parse(text, nullptr, false);
  std::optional<node_conf> out;
  try {
    if (parsed.is_object())
      out = from_json(parsed);
  } catch (const json::exception&) { // a field of another type
  }
  if (!out)
    return path
           + " is damaged; restore it from a backup, or remove the state directory and join again";
  return out;
}

std::optional<std::string> node_conf::save(const std::string& path) const {
  json list = json::array();
  for (const auto& space : spaces)
    list.push_back(
        {{"id", space.id.to_string()}, {"dir", space.dir}, {"mode", to_string(space.mode)}});
  json known = json::array();
  for (const auto& [device, where] : members)
    known.push_back({{"device", device.to_string()}, {"addresses", where}});
  json out{{"cluster", cluster.to_string()},
           {"governor", governor.to_string()},
           {"name", name},
           {"listen", listen},
           {"listened", listened},
           {"addresses", addresses},
           {"members", known},
           {"spaces", list}};
  return replace_file(path, out.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

std::optional<std::string> replace_file(const std::string& path, std::string_view content) {
  auto fresh = path + ".new";
  int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return words(fresh);
  bool good = true;
  for (auto rest = content; good && !rest.empty();) {
    auto put = ::write(fd, rest.data(), rest.size());
    good = put > 0 || (put < 0 && errno == EINTR);
    rest.remove_prefix(put > 0 ? static_cast<size_t>(put) : 0);
  }
  good = good && ::fsync(fd) == 0;
  auto trouble = good ? std::string{} : words(fresh);
  ::close(fd);
  if (good && ::rename(fresh.c_str(), path.c_str()) != 0)
    trouble = words(path);
  if (!trouble.empty()) {
    ::unlink(fresh.c_str());
    return trouble;
  }
  auto slash = path.rfind('/');
  int dir = ::open(slash == path.npos ? "." : path.substr(0, slash + 1).c_str(),
                   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir >= 0) {
    ::fsync(dir);
    ::close(dir);
  }
  return std::nullopt;
}

} // namespace harp
