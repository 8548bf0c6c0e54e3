// Founding and joining a cluster, and the table of calls about the cluster.
#include "actors/bridge_storage_calls.hpp"

#include "web/bind_text.hpp"

#include "net/node_endpoint.hpp"
#include "storage/peer_codec.hpp"

#include <pwd.h>
#include <unistd.h>

namespace harp {

namespace {

/// A joiner's end: nobody may link to it, it only asks.
class closed_gate final : public net::node_gate {
public:
  bool admits(const device_key&) override { return false; }
  void on_link(net::node_link_ptr link) override { link->close("this node is only joining"); }
  void on_data(net::node_link_ptr, net::stream_ptr) override {}
  void on_end(net::node_link_ptr, std::string) override {}
  net::asio::awaitable<std::string> enrol(device_key, std::string, ip_address) override { co_return std::string{}; }
};

/// At most device_name_bytes_max bytes, cut between characters.
std::string device_name(std::string given) {
  if (given.empty()) {
    char host[256] = {};
    if (gethostname(host, sizeof host - 1) == 0)
      given = host;
    if (given.empty())
      given = "device";
    if (given.size() > device_name_bytes_max)
      given.resize(device_name_bytes_max);
  }
  return given;
}

std::string login_name() {
  auto* entry = getpwuid(geteuid());
  std::string name = entry != nullptr && entry->pw_name != nullptr ? entry->pw_name : "uid" + std::to_string(geteuid());
  return name.substr(0, user_bytes_max);
}

/// What init and join are told about this device.
std::optional<call_failure> check_device(const std::string& name, const std::string& listen) {
  if (name.size() > device_name_bytes_max || !is_lawful_name(name))
    return wrong_usage("that cannot be the name of a device", "use up to " + std::to_string(device_name_bytes_max) + " bytes of text without '/'");
  if (listen.empty())
    return std::nullopt;
  if (!web::parse_bind(listen).value)
    return wrong_usage(listen + " is not an address to listen on", "give ADDR:PORT with an IP address, for instance 0.0.0.0:8784");
  return std::nullopt;
}

json about_device(const node_store& all) {
  return {{"name", all.conf()->name}, {"fingerprint", net::fingerprint_text(all.device().public_key())}, {"cluster", all.conf()->cluster.to_string()}};
}

/// What is to be said of a plane that could not be started although the node is a member now.
call_failure not_started(const std::string& done, const std::string& why) {
  return {503, done + ", but it cannot be reached: " + why, "mend the cause and start `harp serve` again; nothing has to be repeated"};
}

std::string words_of(enrol_status status) {
  switch (status) {
    case enrol_status::busy:
      return "run the same command again in a moment; the invite is not lost";
    case enrol_status::failed:
      return "look at the log of the governor's node, then run the same command again";
    default:
      return "ask the person who invited you for a new invite";
  }
}

call_failure not_enrolled(const net::enrol_outcome& outcome, const invite_token& token) {
  if (outcome.error == net::link_error::wrong_key)
    return {409, "somebody else answers at the invite's address: it shows " + net::fingerprint_text(outcome.governor) + ", whose hash is "
                   + governor_hash_of(outcome.governor).to_string() + ", the invite names " + token.governor.to_string() + "; the invite's secret was not sent",
            "check the address with the person who invited you; a proxy or an attacker may be in between"};
  return {503, "the governor's node could not be asked: " + outcome.words, "check that `harp serve` runs there and that it can be reached, then run the same command again: the invite stays good"};
}

using enrol_answer = std::variant<enrol_ack_message, call_failure>;

net::asio::awaitable<enrol_answer> ask_governor(storage_parts& in, invite_token token, std::string name) {
  static closed_gate gate; // outlives every loop
  auto seed = in.device->seed();
  auto self = net::node_identity::from_seed(std::span<const uint8_t, net::key_seed_bytes>{reinterpret_cast<const uint8_t*>(seed.data()), net::key_seed_bytes});
  auto made = net::node_endpoint::make(in.seam.loops(), gate, self);
  if (auto* why = std::get_if<std::string>(&made))
    co_return call_failure{503, *why, "check the installation of OpenSSL"};
  auto endpoint = std::get<std::shared_ptr<net::node_endpoint>>(made);
  enrol_message asked;
  asked.secret = token.secret;
  asked.device = in.device->public_key();
  asked.name = name;
  auto wanted = token.governor;
  std::function<bool(const device_key&)> is_governor = [wanted](const device_key& shown) { return governor_hash_of(shown) == wanted; };
  auto payload = encode_payload(asked);
  auto outcome = co_await endpoint->enrol(in.seam.loops().here(), token.addresses, is_governor, payload);
  endpoint->stop("joined");
  if (outcome.error != net::link_error::none)
    co_return not_enrolled(outcome, token);
  auto decoded = decode_payload(static_cast<uint8_t>(message_type::enrol), outcome.answer);
  auto* message = std::get_if<peer_message>(&decoded);
  auto* ack = message != nullptr ? std::get_if<enrol_ack_message>(message) : nullptr;
  if (ack == nullptr || (ack->status == enrol_status::done && governor_hash_of(ack->governor) != wanted))
    co_return call_failure{502, "the governor's answer makes no sense", "is it another version of Harp? update both, then run the same command again"};
  if (ack->status != enrol_status::done)
    co_return call_failure{409, ack->text.empty() ? "the governor refused this invite" : ack->text, words_of(ack->status)};
  co_return std::move(*ack);
}

/// Before the secret leaves this device: may it join at all?
call_result check_joiner(const node_store& all, const invite_token& token) {
  if (all.conf() && governor_hash_of(all.conf()->governor) != token.governor)
    return call_failure{409, "this node belongs to another cluster already", "use another --state for this one"};
  if (all.governor() != nullptr && all.conf())
    return call_failure{409, "this node governs the cluster that the invite is for", "run `harp join` on the other device"};
  return json{{"name", all.conf() ? all.conf()->name : std::string{}}, {"listen", all.conf() ? all.conf()->listen : std::string{}}};
}

json spaces_of(const node_store& all) {
  json out = json::array();
  for (auto* space : all.spaces())
    if (space->own() != 0)
      out.push_back(space->members()->name());
  return out;
}

} // namespace

net::asio::awaitable<std::string> start_plane(storage_parts& in) {
  auto* parts = &in;
  auto started_job = [parts](node_store& all) {
    parts->plane->rosters->publish(std::make_shared<const hot_rosters::table>(all.rosters()));
    if (parts->alone)
      return std::string{};
    auto why = parts->start_cluster();
    if (why.empty()) { // a second joining: what is new gets its actors, and everybody is told
      parts->ensure_spaces(all);
      parts->rosters_changed();
    }
    return why;
  };
  auto started = co_await in.on_store(std::move(started_job));
  if (auto* failure = std::get_if<call_failure>(&started))
    co_return failure->error;
  co_return std::get<std::string>(started);
}

answer_later call_init(storage_parts& in, json arguments) {
  auto name = device_name(text_argument(arguments, "name"));
  auto listen = text_argument(arguments, "listen");
  if (auto wrong = check_device(name, listen))
    co_return *wrong;
  auto now = in.plane->now_ms();
  auto user = login_name();
  auto founded_job = [name, listen, user, now](node_store& all) -> call_result {
    if (auto why = all.found(name, listen, user, now))
      return call_failure{409, *why, "`harp member ls` shows what this node is part of"};
    return about_device(all);
  };
  auto founded = co_await at_store(in, std::move(founded_job));
  if (std::holds_alternative<call_failure>(founded))
    co_return founded;
  auto why = co_await start_plane(in);
  if (!why.empty())
    co_return not_started("the cluster is founded", why);
  auto answer = std::get<json>(founded);
  auto open = in.links ? in.links->listening() : std::vector<std::string>{};
  answer["listening"] = !open.empty() ? open.front() : listen.empty() ? "0.0.0.0:" + std::to_string(net::node_port) : listen;
  answer["running"] = !open.empty();
  co_return answer;
}

answer_later call_join(storage_parts& in, json arguments) {
  auto parsed = invite_token::parse(text_argument(arguments, "token"));
  if (auto* why = std::get_if<std::string>(&parsed))
    co_return wrong_usage(*why, "copy the whole token, one line that begins with H1.");
  auto token = std::get<invite_token>(parsed);
  auto name = text_argument(arguments, "name");
  auto listen = text_argument(arguments, "listen");
  auto before_job = [token](node_store& all) { return check_joiner(all, token); };
  auto before = co_await at_store(in, std::move(before_job));
  if (std::holds_alternative<call_failure>(before))
    co_return before;
  auto known = std::get<json>(before);
  if (name.empty())
    name = device_name(known["name"].get<std::string>());
  if (listen.empty())
    listen = known["listen"].get<std::string>();
  if (auto wrong = check_device(name, listen))
    co_return *wrong;
  auto asked = co_await ask_governor(in, token, name);
  if (auto* failure = std::get_if<call_failure>(&asked))
    co_return std::move(*failure);
  auto ack = std::get<enrol_ack_message>(asked);
  if (ack.addresses.empty())
    ack.addresses = token.addresses;
  auto taken_job = [ack, name, listen](node_store& all) -> call_result {
    if (auto why = all.take_enrolment(ack, name, listen))
      return call_failure{409, *why, "run the same command again: the invite stays good for this device"};
    auto answer = about_device(all);
    answer["spaces"] = spaces_of(all);
    return answer;
  };
  auto taken = co_await at_store(in, std::move(taken_job));
  if (std::holds_alternative<call_failure>(taken))
    co_return taken;
  auto why = co_await start_plane(in);
  if (!why.empty())
    co_return not_started("this device has joined", why);
  co_return taken;
}

const std::vector<storage_call> cluster_calls = {
  {"init", false, call_init},
  {"join", false, call_join},
  {"invite", true, call_invite},
  {"invite_ls", true, call_invite_ls},
  {"invite_revoke", true, call_invite_revoke},
  {"member_ls", true, call_member_ls},
  {"member_rename", true, call_member_rename},
  {"member_revoke", true, call_member_revoke},
  {"member_role", true, call_member_role},
  {"member_token", true, call_member_token},
  {"space_create", true, call_space_create},
  {"space_add", true, call_space_add},
  {"space_ls", true, call_space_ls},
  {"space_rm", true, call_space_rm},
  {"select", true, call_select},
};

} // namespace harp
