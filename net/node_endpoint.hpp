// This node's end of all node links: listens, dials, carries links through a keeper, enrols. One
// per process (design.md 4, 8; storage.md 10).
#pragma once

#include "net/listener.hpp"
#include "net/node_identity.hpp"
#include "net/node_link.hpp"
#include "net/relay.hpp"
#include "net/tls.hpp"

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

namespace harp::net {

class link_core;

inline constexpr uint16_t node_port = 8784;
inline constexpr std::string_view node_alpn = "harp/1";
inline constexpr std::string_view join_alpn = "harp-join/1";
inline constexpr std::string_view node_path = "/harp"; // of the WebSocket
inline constexpr uint8_t enrol_frame_type = 22;        // storage.md 11
inline constexpr size_t shed_at_once_max = 1024;       // connections being closed unread
inline constexpr size_t dial_addresses_max = 16;
inline constexpr milliseconds dial_connect_max{4000}; // TCP, per resolved address
inline constexpr milliseconds dial_stagger{250}; // the next address starts while earlier ones try

/// Where a node may be reached: `host:port`, `[v6]:port`, `host` (port 8784), or
/// `wss://host[:port]/harp` (443), `ws://...` (80; the inner TLS protects it).
struct node_address {
  std::string host;
  uint16_t port = node_port;
  bool websocket = false;
  bool https = false; // websocket: inside TLS that a proxy ends
  std::string path;   // websocket
  static std::optional<node_address> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  bool operator==(const node_address&) const = default;
};

enum class link_error : uint8_t {
  none,
  bad_address,  // nothing usable in the list
  unreachable,  // no address answered in time
  wrong_key,    // somebody else answers there
  refused,      // the peer does not take us: not in its roster, or too many links
  not_admitted, // the gate does not take the peer (revoked meanwhile)
  busy,         // our own limits: links_max, links_per_peer_max
  failed,       // anything else, in words
};

struct dial_outcome {
  node_link_ptr link; // null unless none
  link_error error = link_error::none;
  std::string words;   // what happened, cause and next step
  std::string address; // that worked, as given; for the peer's record
};

struct enrol_outcome {
  std::string answer; // EnrolAck payload; empty when it failed
  link_error error = link_error::none;
  std::string words;   // names the fingerprint that was seen when it was the wrong one
  device_key governor; // who answered, when `error` is none or wrong_key
};

/// What is counted; read at any time.
struct endpoint_counts {
  std::atomic<uint64_t> accepted{0};      // links up, from outside
  std::atomic<uint64_t> dialled{0};       // links up, by us
  std::atomic<uint64_t> shed{0};          // closed unread: half_open_max, per address, links_max
  std::atomic<uint64_t> unknown_key{0};   // certificate not in the roster
  std::atomic<uint64_t> bad_handshake{0}; // noise, silence, no or a foreign certificate
  std::atomic<uint64_t> joins{0};         // enrolment frames passed on
  std::atomic<uint64_t> joins_refused{0}; // joiners_max, oversized or silent
};

class node_endpoint : public std::enable_shared_from_this<node_endpoint> {
public:
  /// `governor` is null on all nodes but one: without it `harp-join/1` is not spoken. `gate` must
  /// outlive the endpoint and its loops. Null, with words, when OpenSSL refuses the keys.
  static std::variant<std::shared_ptr<node_endpoint>, std::string>
  make(runtime& loops, node_gate& gate, node_identity_ptr self,
       node_identity_ptr governor = nullptr, node_limits limits = {});
  ~node_endpoint();

  [[nodiscard]] const device_key& key() const { return self_->key(); }

  /// Listens; words when it cannot. May be called for several addresses. The first byte of a
  /// connection tells TLS from a WebSocket at /harp; anything else is closed unanswered.
  std::string listen(const std::string& host, uint16_t port);
  /// In the form of listener::address().
  [[nodiscard]] std::vector<std::string> listening() const;

  /// Tries the addresses, each 250 ms after the one before, until one shows `peer`'s key; 10 s for
  /// that (limits.handshake), and at most as long for the peer's own word. The link lives on `on`,
  /// whose thread must be calling. The gate's on_link() has run when this returns.
  asio::awaitable<dial_outcome> dial(loop& on, std::vector<std::string> addresses, device_key peer);
  /// Inner TLS to `peer` over opaque bytes, usually a data stream of a keeper behind a Relay frame.
  asio::awaitable<dial_outcome> dial_relayed(loop& on, stream_ptr over, device_key peer);
  /// The other end of the same: anybody the gate admits may come; `expected` narrows that to the
  /// device that the keeper announced.
  asio::awaitable<dial_outcome> accept_relayed(loop& on, stream_ptr over,
                                               std::optional<device_key> expected = std::nullopt);
  /// Sends one Enrol payload to the first address whose server shows a governor key that
  /// `is_governor` takes (compare the invite's hash there), and returns its answer. Nothing is sent
  /// before that check, which may be asked several times until this returns.
  asio::awaitable<enrol_outcome> enrol(loop& on, std::vector<std::string> addresses,
                                       std::function<bool(const device_key&)> is_governor,
                                       std::string payload);

  /// Links that are up.
  [[nodiscard]] std::vector<node_link_ptr> links() const;
  [[nodiscard]] std::vector<node_link_ptr> links_of(const device_key& peer) const;
  /// Asks the gate again about every link's peer and ends those it no longer admits; after each
  /// change of the cluster roster. Returns how many.
  size_t recheck_members();
  [[nodiscard]] const endpoint_counts& counts() const { return counts_; }
  /// Handshakes under way now.
  [[nodiscard]] size_t half_open_count() const;
  [[nodiscard]] const node_limits& limits() const { return limits_; }
  /// Closes listeners and links, refuses all else. Thread-safe; may be called twice.
  void stop(std::string reason);

private:
  friend class node_door; // one accepted connection (node_listener.cpp)
  friend class dial_race; // one dial (node_dial.cpp)

  /// A handshake under way; counted while it lives. Holds a second descriptor of its socket, so
  /// that it can be ended from any thread.
  class half_open {
  public:
    half_open(std::shared_ptr<node_endpoint> of, std::optional<ip_address> key, int socket);
    half_open(const half_open&) = delete;
    half_open& operator=(const half_open&) = delete;
    ~half_open();
    void end() const;

  private:
    friend class node_endpoint;
    std::shared_ptr<node_endpoint> of_;
    std::optional<ip_address> key_;
    int socket_;
    std::list<half_open*>::iterator row_;
    bool evicted_ = false; // no longer in the list
  };

  node_endpoint(runtime& loops, node_gate& gate, node_identity_ptr self, node_identity_ptr governor,
                node_limits limits);
  std::string make_contexts();
  /// Null when the address has no place any more. When all are taken the oldest must go: honest
  /// handshakes are short. `socket` -1: none.
  std::unique_ptr<half_open> enter(const std::optional<ip_address>& from, int socket);
  void evict_oldest();
  std::shared_ptr<void> enter_joiner();
  static asio::awaitable<void> serve_weak(std::weak_ptr<node_endpoint> of, loop& on,
                                          generic_socket socket, ip_address peer, uint16_t port);
  std::string reserve(link_facts& facts);
  std::shared_ptr<link_core> start_link(loop& on, stream_ptr secured, link_facts facts,
                                        dial_outcome& out);
  asio::awaitable<dial_outcome> finish_dial(loop& on, tls_result secured, link_facts facts);
  void forget(const link_facts& link);

  runtime& loops_;
  node_gate& gate_;
  const node_identity_ptr self_;
  const node_identity_ptr governor_;
  const node_limits limits_;
  const std::shared_ptr<connection_slots> slots_;
  std::shared_ptr<tls_context> server_tls_;
  std::shared_ptr<tls_context> client_tls_;
  std::shared_ptr<tls_context> join_tls_;
  std::shared_ptr<tls_context> https_;
  endpoint_counts counts_;

  mutable std::mutex mutex_;
  // Guarded by it.
  bool stopped_ = false;
  uint64_t next_id_ = 1;
  std::map<uint64_t, node_link_ptr> links_;
  std::map<device_key, size_t> links_of_peer_;
  std::list<half_open*> half_open_; // oldest first
  std::map<ip_address, size_t> half_open_of_;
  size_t joiners_ = 0;
  std::vector<std::shared_ptr<listener>> listeners_;
};

/// Carries opaque bytes between two streams until both directions end (a keeper's Relay). Nothing is
/// looked at. Runs on `on`; the streams may be mux streams of different loops.
asio::awaitable<relay_end> splice(loop& on, stream_ptr a, stream_ptr b, relay_options options);

} // namespace harp::net
