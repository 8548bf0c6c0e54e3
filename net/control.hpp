// What net/ needs decided: the only words it has for the rest of Harp. Implemented by actors/bridge.*, by five-line fakes
// in tests. Everything here is called on the thread of the asking session's loop.
#pragma once

#include "net/asio.hpp"
#include "net/http_codec.hpp"
#include "net/stream.hpp"
#include "storage/types.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace harp::net {

// -- HTTP ------------------------------------------------------------------------------------------------------------

/// What another node said when it opened a stream for requests to one app (storage.md 11, Open).
struct node_origin {
  std::string app_id;   // lower case: nothing else is served on this stream
  bool trusted = false; // told by a keeper: `peer` is the client as found there; else it stands for the node
  int refusal = 0;      // the status that every request gets; 0 = served
};

/// Who asks, over which listener.
struct connection_facts {
  ip_address peer;
  uint16_t peer_port = 0;
  bool tls = false;
  std::shared_ptr<const node_origin> origin = nullptr; // null: a client of our own listeners
};

class node_route; // net/node_upstream.hpp

/// Where a request goes.
struct upstream {
  enum class kind : uint8_t { tcp, unix_socket, tunnel, node } where = kind::tcp;
  std::string host;       // tcp: IP literal or name; unix_socket: path; tunnel: app id or proxy name, for logs; node: app id
  uint16_t port = 0;      // tcp
  uint64_t tunnel = 0;    // session id in tunnel_table
  std::string proxy_name; // tunnel: which proxy of that session
  std::shared_ptr<node_route> node = nullptr;             // node: who opens its streams
  std::shared_ptr<std::atomic<bool>> reached = nullptr;   // tcp: whether the last connect succeeded; may be null
  bool operator==(const upstream& other) const {
    return where == other.where && port == other.port && tunnel == other.tunnel && host == other.host
           && proxy_name == other.proxy_name && node == other.node;
  }
};

/// What to do with a request. Reused from request to request: clear() keeps capacities.
struct verdict {
  enum class action : uint8_t {
    forward, // to `to`, with `path` in place of the request's and `set_fields` behind the passed ones
    respond, // with status, content_type, fields and body
    drop,    // send nothing, reset the connection
    read_body, // gate wants the body (at most body_bytes_max, else 413) and then complete() is asked
  } what = action::respond;

  // respond
  int status = 503;
  std::string content_type = "text/plain";
  std::string fields; // complete extra lines, each with CRLF
  std::string body;
  bool close = false;

  // forward
  std::shared_ptr<const upstream> to;
  std::string target;     // request target for the upstream, byte for byte
  std::string set_fields; // complete lines with CRLF, e.g. "ex-app-id: x\r\n"
  bool pass_fields = true; // false: nothing of the client's fields but framing (rebuilt control calls)
  bool allow_upgrade = true;
  bool allow_body = true;
  std::chrono::milliseconds response_limit{0}; // silence of the upstream before and in the response; 0 = the front's
  std::shared_ptr<const std::vector<int>> counted_statuses; // response_counted() is told when the answer has one; may be null
  ip_address client;      // found behind trusted proxies
  std::string app;        // label for log and metrics

  // read_body
  size_t body_bytes_max = 0;

  void clear();
};

/// Decides about HTTP requests of one listener.
class http_gate {
public:
  virtual ~http_gate() = default;
  /// The hot path: fills `out` and returns true when everything needed is at hand. No waiting.
  virtual bool decide_now(const request_head& head, const connection_facts& from, verdict& out) = 0;
  /// The slow path, asked when decide_now() said false. Always fills `out`. `head` stays valid meanwhile.
  /// Gates whose decide_now() always answers leave this and what follows as they are.
  virtual asio::awaitable<void> decide(const request_head&, const connection_facts&, verdict&) { co_return; }
  /// After `read_body`: the whole body is here. Must not ask for the body again.
  virtual asio::awaitable<void> complete(const request_head&, const connection_facts&, std::string, verdict&) {
    co_return;
  }
  /// The upstream answered with one of `counted_statuses`; awaited before the answer is passed on.
  virtual asio::awaitable<void> response_counted(const verdict&) { co_return; }
  /// The request was refused before it could be decided (400, 408, ...): for logs and metrics only.
  virtual void malformed(const connection_facts&, std::string_view) {}
};

// -- frp tunnels -------------------------------------------------------------------------------------------------------

inline constexpr size_t proxy_name_bytes_max = 128;
inline constexpr size_t run_id_bytes_max = 64;

/// A frp Login, decoded and checked for form.
struct frp_login {
  uint64_t session = 0; // id in tunnel_table, given by net
  ip_address peer;
  uint16_t peer_port = 0;
  bool tls = false;
  bool mux = false;
  std::string version, hostname, os, arch, user, client_id;
  std::string run_id;          // empty on a first login, or when the sent one had a bad form
  std::string privilege_key;
  int64_t timestamp = 0;
  bool has_token = false;
  std::string token;           // metas.token: secret, never logged
  int64_t pool_count = 0;      // as sent, unclamped
};

struct frp_login_answer {
  std::string error;  // non-empty: refused, sent to the client
  std::string run_id; // to answer when accepted
};

/// A NewProxy, decoded and checked for form. Only `tcp` reaches the gate.
struct frp_proxy {
  std::string name;
  uint16_t remote_port = 0; // 0 = any
  bool use_encryption = false;
  bool use_compression = false;
  uint64_t server_limit = 0; // bytes/s when bandwidth_limit_mode is "server", else 0
  std::string group;
};

struct frp_claim_answer {
  std::string error; // non-empty: refused, sent to the client
  uint16_t port = 0; // granted
};

/// Decides about tunnels.
class frp_gate {
public:
  virtual ~frp_gate() = default;
  /// Cheap check at accept: false closes the connection before anything is read (caps, not bans).
  virtual bool admit(const ip_address& peer) = 0;
  /// When the answer has no error, a previous session of the same run id and credential has ended and freed its proxies.
  virtual asio::awaitable<frp_login_answer> login(frp_login asked) = 0;
  virtual asio::awaitable<frp_claim_answer> claim(uint64_t session, frp_proxy asked) = 0;
  /// The NewProxyResp was queued: users may come from now on.
  virtual void running(uint64_t session, std::string name) = 0;
  virtual void release(uint64_t session, std::string name) = 0;
  /// The session ended (also told after a failed login).
  virtual void closed(uint64_t session, std::string reason) = 0;
};

} // namespace harp::net
