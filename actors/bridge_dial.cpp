// What the cluster actor asks of the links: dialling, directly and through keepers, and where this node is.
#include "actors/bridge_links.hpp"

#include "storage/peer_codec.hpp"

#include <caf/send.hpp>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

namespace harp {

namespace {

/// Addresses of this machine that others can reach, loopback only when there is nothing else.
std::vector<std::string> interface_addresses() {
  std::vector<std::string> out;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0)
    return out;
  for (auto* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0 || (at->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (at->ifa_addr->sa_family == AF_INET) {
      auto* v4 = reinterpret_cast<sockaddr_in*>(at->ifa_addr); // the sockets API passes every family as a sockaddr
      if (inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text) != nullptr)
        out.emplace_back(text);
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      auto* v6 = reinterpret_cast<sockaddr_in6*>(at->ifa_addr);
      if (!IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) && inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text) != nullptr)
        out.push_back("[" + std::string{text} + "]");
    }
  }
  freeifaddrs(all);
  return out;
}

} // namespace

void bridge_links::dial(const device_key& device, std::vector<std::string> addresses, std::vector<device_key> keepers, cluster_actor answer_to) {
  auto index = static_cast<size_t>(device.bytes[0]); // links spread over the loops
  net::launch(seam_.loops().at(index).executor(), dial_device(device, std::move(addresses), std::move(keepers), std::move(answer_to)), "dial");
}

net::asio::awaitable<void> bridge_links::dial_device(device_key device, std::vector<std::string> addresses, std::vector<device_key> keepers,
                                                     cluster_actor answer_to) {
  auto& on = seam_.loops().here();
  dial_note note{device, false, {}};
  if (!addresses.empty()) {
    auto outcome = co_await endpoint_->dial(on, std::move(addresses), device);
    note.linked = outcome.link != nullptr;
    note.words = outcome.words;
  }
  for (const auto& keeper : keepers) {
    if (note.linked)
      break;
    auto by = link_of(keeper);
    auto stream = by ? by->open_data() : nullptr;
    if (!stream)
      continue;
    auto head = encode_payload(relay_message{device});
    bool sent = co_await net::write_frame(*stream, static_cast<uint8_t>(message_type::relay), 0, head);
    if (!sent)
      continue;
    auto outcome = co_await endpoint_->dial_relayed(on, std::move(stream), device);
    note.linked = outcome.link != nullptr;
    if (note.words.empty())
      note.words = outcome.words;
  }
  caf::anon_send(answer_to, note);
}

void bridge_links::end_link(uint64_t link, std::string reason) {
  for (const auto& one : endpoint_->links())
    if (one->facts().id == link)
      one->close(reason);
}

void bridge_links::recheck_members() {
  endpoint_->recheck_members();
}

void bridge_links::note_round_trip(const device_key& device, std::chrono::microseconds sample) {
  if (auto link = link_of(device))
    link->note_round_trip(sample);
}

std::vector<std::pair<device_key, std::chrono::microseconds>> bridge_links::round_trips() const {
  std::lock_guard lock{mutex_};
  std::vector<std::pair<device_key, std::chrono::microseconds>> out;
  for (const auto& [device, open] : links_)
    out.emplace_back(device, open.back()->srtt());
  return out;
}

std::vector<std::string> bridge_links::own_addresses() {
  std::vector<std::string> out;
  for (const auto& text : listening()) {
    auto address = net::node_address::parse(text);
    if (!address)
      continue;
    auto ip = ip_address::parse(address->host);
    if (!ip || !ip->is_unspecified()) {
      out.push_back(text);
      continue;
    }
    for (const auto& host : interface_addresses())
      out.push_back(host + ":" + std::to_string(address->port));
    if (out.empty())
      out.push_back("127.0.0.1:" + std::to_string(address->port));
  }
  if (out.size() > node_addresses_max)
    out.resize(node_addresses_max);
  return out;
}

std::vector<node_app> bridge_links::own_apps() {
  return apps ? apps() : std::vector<node_app>{};
}

void bridge_links::recheck_app(const device_key& from, const std::string& app_id, bool gone) {
  if (on_recheck)
    on_recheck(from, app_id, gone);
}

} // namespace harp
