// Invites and members: what the governor writes down, and who is there.
#include "actors/bridge_storage_calls.hpp"
#include "actors/random_id.hpp"
#include "actors/reachable.hpp"
#include "storage/digest.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr std::string_view user_token_personal = "harp.dav"; // of the hash in the roster
constexpr std::string_view user_token_head = "harp-";
constexpr size_t user_token_random_bytes = 24;

call_failure not_governor() {
  return {409, "only the node that founded the cluster changes who is in it", "run this command there"};
}

call_failure refused_by_roster(const std::string& why) {
  return {409, "the roster was not changed: " + why, "`harp member ls` shows it as it is"};
}

/// A device by name, key or fingerprint; of several with one name none.
std::variant<roster_member, call_failure> find_device(const roster& members, const std::string& text) {
  std::optional<roster_member> found;
  for (const auto& member : members.members()) {
    if (member.is_revoked())
      continue;
    if (member.device.to_string() == text || net::fingerprint_text(member.device) == text)
      return member;
    if (member.name != text)
      continue;
    if (found)
      return call_failure{409, "several devices are called " + text, "name one by its fingerprint, see `harp member ls`"};
    found = member;
  }
  if (!found)
    return call_failure{404, "there is no device called " + text, "`harp member ls` lists them"};
  return *found;
}

/// Two readers and writers are alike in the cluster space: there are no files in it, its role says what a node may do for
/// others.
member_role role_in(const node_store& all, const space_store& space, member_role role) {
  bool serves = role == member_role::keeper || role == member_role::admin;
  return space.id() == all.conf()->cluster && !serves ? member_role::reader : role;
}

uint64_t seq_held(const space_store& space, replica_id rid) {
  auto found = space.known().find(rid);
  return found == space.known().end() ? 0 : found->second;
}

std::optional<std::string> set_role(node_store& all, space_store& space, const roster_member& device, member_role wanted, uint64_t now_ms) {
  auto role = role_in(all, space, wanted);
  const auto& key = *all.governor();
  auto rid = space.members()->rid_of(device.device);
  auto add_anew = [&] {
    roster_add_device entry{space.members()->next_rid(), device.device, role, device.user, device.name, 0, true};
    return space.govern(entry, now_ms, key);
  };
  if (rid == 0)
    return add_anew();
  auto now = *space.members()->member(rid);
  if (now.role == role)
    return std::nullopt;
  auto held = seq_held(space, rid);
  if (!now.cut || !may_write(role))
    return space.govern(roster_set_role{rid, role, held + 1}, now_ms, key);
  // It lost the right to write for good under that number (storage.md 5.3).
  if (auto why = space.govern(roster_revoke{rid, std::min(held, *now.cut)}, now_ms, key))
    return why;
  return add_anew();
}

std::optional<std::string> rename_everywhere(node_store& all, const device_key& device, const std::string& name, uint64_t now_ms) {
  auto spaces = all.spaces();
  spaces.push_back(all.cluster());
  for (auto* space : spaces)
    if (auto rid = space->members()->rid_of(device); rid != 0)
      if (auto why = space->govern(roster_rename{rid, name}, now_ms, *all.governor()))
        return why;
  return std::nullopt;
}

/// Out of every space; the cluster last, so that a command cut short finds the device again.
std::optional<std::string> revoke_everywhere(node_store& all, const device_key& device, uint64_t now_ms) {
  auto spaces = all.spaces();
  spaces.push_back(all.cluster());
  for (auto* space : spaces)
    if (auto rid = space->members()->rid_of(device); rid != 0)
      if (auto why = space->govern(roster_revoke{rid, seq_held(*space, rid)}, now_ms, *all.governor()))
        return why;
  return std::nullopt;
}

/// A change of rosters as the governor, told to everybody.
template <class Work>
answer_later govern(storage_parts& in, Work work) {
  auto* parts = &in;
  return at_store(in, [parts, work = std::move(work)](node_store& all) mutable -> call_result {
    if (all.governor() == nullptr)
      return not_governor();
    auto done = work(all);
    parts->rosters_changed();
    return done;
  });
}

struct invite_wish {
  invite_record record;
  std::vector<std::string> spaces;
};

std::variant<invite_wish, call_failure> read_invite(const json& arguments, uint64_t now_ms) {
  invite_wish out;
  auto role = text_argument(arguments, "role");
  auto parsed = parse_role(role.empty() ? "writer" : role);
  if (!parsed || *parsed == member_role::none)
    return wrong_usage(role + " is no role", "use reader, writer, keeper or admin");
  out.record.role = *parsed;
  auto expires = text_argument(arguments, "expires");
  auto life = expires.empty() ? std::optional{invite_life_ms_max} : parse_span_ms(expires);
  if (!life || *life == 0 || *life > invite_life_ms_max)
    return wrong_usage("an invite is good for at most 24 hours", "say for instance --expires 30m or 24h");
  out.record.expiry_ms = now_ms + *life;
  auto uses = arguments.contains("uses") ? arguments.at("uses").get<int64_t>() : 1;
  if (uses < 1 || uses > invite_uses_max)
    return wrong_usage("an invite has 1 to " + std::to_string(invite_uses_max) + " uses", "give --uses a number in that range");
  out.record.uses_left = static_cast<uint32_t>(uses);
  out.record.user = text_argument(arguments, "user");
  if (out.record.user.size() > user_bytes_max)
    return wrong_usage("the name of the user is too long", "use at most " + std::to_string(user_bytes_max) + " bytes");
  if (arguments.contains("spaces"))
    out.spaces = arguments.at("spaces").get<std::vector<std::string>>();
  if (out.spaces.size() > invite_spaces_max)
    return wrong_usage("an invite names at most " + std::to_string(invite_spaces_max) + " spaces", "make a second one for the rest");
  return out;
}

/// Where joiners reach this node: as bound while it listens, else as it is going to.
std::vector<std::string> addresses_for_invite(const storage_parts& in, const node_store& all) {
  if (in.links)
    return in.links->own_addresses();
  std::vector<std::string> out;
  for (const auto& bound : in.listen_addresses(*all.conf()))
    if (bound.port != 0)
      for (auto& address : reachable_addresses(bound.host, bound.port))
        out.push_back(std::move(address));
  return out;
}

call_result make_invite(const storage_parts& in, node_store& all, invite_wish wish, uint64_t now_ms) {
  if (all.governor() == nullptr)
    return not_governor();
  for (const auto& name : wish.spaces) {
    std::string error;
    auto* space = all.find(name, error);
    if (space == nullptr)
      return call_failure{404, error, "`harp space create` makes one"};
    wish.record.spaces.push_back(space->id());
  }
  auto addresses = addresses_for_invite(in, all);
  if (addresses.empty())
    return call_failure{409, "nobody could reach this node: it does not run and its port is not fixed", "start `harp serve` first, then invite"};
  if (wish.record.user.empty())
    if (auto* self = all.cluster()->members()->member(all.cluster()->own()))
      wish.record.user = self->user;
  auto made = all.make_invite(wish.record, now_ms, addresses);
  if (auto* why = std::get_if<std::string>(&made))
    return call_failure{409, *why, "run `harp invite` on the node that founded the cluster"};
  const auto& token = std::get<invite_token>(made);
  wish.record.secret_hash = invite_hash_of(token.secret);
  return json{{"id", wish.record.id()}, {"role", to_string(token.role)}, {"spaces", wish.spaces}, {"expires", time_text(token.expiry_ms)},
              {"uses", token.uses}, {"addresses", token.addresses}, {"token", token.to_text()}};
}

json invites_listed(const node_store& all, uint64_t now_ms) {
  json list = json::array();
  for (const auto& record : all.invites()) {
    if (record.revoked || record.uses_left == 0 || record.expiry_ms <= now_ms)
      continue;
    json spaces = json::array();
    for (const auto& id : record.spaces)
      if (auto* space = all.find(id))
        spaces.push_back(space->members()->name());
    json spent = json::array();
    for (const auto& use : record.spent)
      spent.push_back(use.name);
    list.push_back({{"id", record.id()}, {"role", to_string(record.role)}, {"user", record.user}, {"spaces", spaces},
                    {"expires", time_text(record.expiry_ms)}, {"uses_left", record.uses_left}, {"joined", spent}});
  }
  return json{{"invites", list}};
}

json members_listed(const node_store& all) {
  json list = json::array();
  for (const auto& member : all.cluster()->members()->members()) {
    if (member.is_revoked())
      continue;
    json spaces = json::array();
    for (auto* space : all.spaces())
      if (auto rid = space->members()->rid_of(member.device); rid != 0)
        spaces.push_back(space->members()->name() + " (" + std::string{to_string(space->members()->role_of(rid))} + ")");
    list.push_back({{"name", member.name}, {"fingerprint", net::fingerprint_text(member.device)}, {"role", to_string(member.role)},
                    {"user", member.user}, {"spaces", spaces}, {"self", member.device == all.device().public_key()},
                    {"linked", false}, {"address", ""}, {"last_contact", ""}, {"waits_for", ""}, {"key", member.device.to_string()}});
  }
  return json{{"members", list}};
}

} // namespace

answer_later call_invite(storage_parts& in, json arguments) {
  auto now = in.plane->now_ms();
  auto wish = read_invite(arguments, now);
  if (auto* failure = std::get_if<call_failure>(&wish))
    co_return *failure;
  auto wanted = std::get<invite_wish>(wish);
  auto* parts = &in;
  auto job = [parts, wanted, now](node_store& all) { return make_invite(*parts, all, wanted, now); };
  co_return co_await at_store(in, std::move(job));
}

answer_later call_invite_ls(storage_parts& in, json) {
  auto now = in.plane->now_ms();
  auto job = [now](node_store& all) -> call_result { return all.governor() == nullptr ? call_result{not_governor()} : invites_listed(all, now); };
  co_return co_await at_store(in, std::move(job));
}

answer_later call_invite_revoke(storage_parts& in, json arguments) {
  auto id = text_argument(arguments, "id");
  auto job = [id](node_store& all) -> call_result {
    if (all.governor() == nullptr)
      return not_governor();
    if (auto why = all.revoke_invite(id))
      return call_failure{404, *why, "`harp invite ls` lists those that are still good"};
    return json{{"revoked", id}};
  };
  co_return co_await at_store(in, std::move(job));
}

answer_later call_member_ls(storage_parts& in, json) {
  auto told_job = [](node_store& all) -> call_result { return members_listed(all); };
  auto told = co_await at_store(in, std::move(told_job));
  if (std::holds_alternative<call_failure>(told) || !in.cluster)
    co_return told;
  auto report = co_await ask<peer_report>(in.seam.system(), in.cluster, ask_limit, peers_atom_v);
  auto answer = std::get<json>(told);
  if (report)
    for (auto& entry : answer["members"])
      for (const auto& line : *report->lines)
        if (line.device.to_string() == entry["key"].get<std::string>()) {
          entry["linked"] = line.linked;
          entry["address"] = line.address;
          entry["last_contact"] = line.seen_ms == 0 ? std::string{} : time_text(line.seen_ms);
          entry["waits_for"] = line.waiting;
        }
  co_return answer;
}

answer_later call_member_rename(storage_parts& in, json arguments) {
  auto device = text_argument(arguments, "device");
  auto name = text_argument(arguments, "name");
  if (name.size() > device_name_bytes_max || !is_lawful_name(name))
    co_return wrong_usage("that cannot be the name of a device", "use up to " + std::to_string(device_name_bytes_max) + " bytes of text without '/'");
  auto now = in.plane->now_ms();
  auto job = [device, name, now](node_store& all) -> call_result {
    auto found = find_device(*all.cluster()->members(), device);
    if (auto* failure = std::get_if<call_failure>(&found))
      return *failure;
    const auto& member = std::get<roster_member>(found);
    if (auto why = rename_everywhere(all, member.device, name, now))
      return refused_by_roster(*why);
    return json{{"name", name}, {"fingerprint", net::fingerprint_text(member.device)}};
  };
  co_return co_await govern(in, std::move(job));
}

answer_later call_member_revoke(storage_parts& in, json arguments) {
  auto device = text_argument(arguments, "device");
  auto now = in.plane->now_ms();
  auto job = [device, now](node_store& all) -> call_result {
    auto found = find_device(*all.cluster()->members(), device);
    if (auto* failure = std::get_if<call_failure>(&found))
      return *failure;
    const auto& member = std::get<roster_member>(found);
    if (member.device == all.device().public_key())
      return call_failure{409, "the node that founded the cluster cannot be revoked", "it holds the only key that changes rosters"};
    if (auto why = revoke_everywhere(all, member.device, now))
      return refused_by_roster(*why);
    return json{{"revoked", member.name}, {"fingerprint", net::fingerprint_text(member.device)}};
  };
  co_return co_await govern(in, std::move(job));
}

answer_later call_member_role(storage_parts& in, json arguments) {
  auto device = text_argument(arguments, "device");
  auto in_space = text_argument(arguments, "space");
  auto role = parse_role(text_argument(arguments, "role"));
  if (!role || *role == member_role::none)
    co_return wrong_usage("that is no role", "use reader, writer, keeper or admin; `harp member revoke` takes all rights away");
  auto now = in.plane->now_ms();
  auto wanted = *role;
  auto job = [device, in_space, wanted, now](node_store& all) -> call_result {
    auto found = find_device(*all.cluster()->members(), device);
    if (auto* failure = std::get_if<call_failure>(&found))
      return *failure;
    const auto& member = std::get<roster_member>(found);
    std::string error;
    auto* space = in_space.empty() ? all.cluster() : all.find(in_space, error);
    if (space == nullptr)
      return call_failure{404, error, "`harp space ls` lists them"};
    auto kept = role_in(all, *space, wanted);
    if (member.device == all.device().public_key() && kept < member_role::keeper)
      return call_failure{409, "the node that founded the cluster stays a keeper", "give another device the role instead"};
    if (auto why = set_role(all, *space, member, wanted, now))
      return refused_by_roster(*why);
    return json{{"device", member.name}, {"space", in_space.empty() ? "the cluster" : in_space}, {"role", to_string(kept)}};
  };
  co_return co_await govern(in, std::move(job));
}

answer_later call_member_token(storage_parts& in, json arguments) {
  auto user = text_argument(arguments, "user");
  auto role_text = text_argument(arguments, "role");
  auto role = parse_role(role_text.empty() ? "writer" : role_text);
  auto expires = text_argument(arguments, "expires");
  auto life = expires.empty() ? std::optional<uint64_t>{0} : parse_span_ms(expires);
  if (user.empty() || user.size() > user_bytes_max)
    co_return wrong_usage("no usable name of a user was given", "use 1 to " + std::to_string(user_bytes_max) + " bytes");
  if (!role || (*role != member_role::reader && *role != member_role::writer))
    co_return wrong_usage("a token reads or writes", "say --role reader or --role writer");
  if (!life || (!expires.empty() && *life == 0))
    co_return wrong_usage(expires + " is no time", "say for instance --expires 90d");
  auto now = in.plane->now_ms();
  roster_add_token entry;
  entry.user = user;
  entry.role = *role;
  entry.not_after = *life == 0 ? 0 : now + *life;
  auto token = std::string{user_token_head} + random_hex(user_token_random_bytes);
  entry.token = blake2b(user_token_personal, token);
  auto job = [entry, token, now](node_store& all) -> call_result {
    if (auto why = all.cluster()->govern(entry, now, *all.governor()))
      return refused_by_roster(*why);
    return json{{"user", entry.user}, {"role", to_string(entry.role)}, {"expires", entry.not_after == 0 ? "never" : time_text(entry.not_after)}, {"token", token}};
  };
  co_return co_await govern(in, std::move(job));
}

} // namespace harp
