// Small HTTP/1.1 client for Harp's own calls (Nextcloud): whole bodies, bounded, one total limit, redirects within one origin.
#pragma once

#include "net/dialer.hpp"
#include "net/runtime.hpp"
#include "net/stream.hpp"
#include "net/tls.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace harp::net {

inline constexpr size_t client_idle_max = 8;
inline constexpr milliseconds client_idle_life{4'000};
inline constexpr int client_redirects_max = 3;

/// scheme://host[:port]/path, split. Only http and https.
struct http_url {
  bool tls = false;
  std::string host; // without brackets
  uint16_t port = 80;
  std::string target; // path and query, at least "/"
  static std::optional<http_url> parse(std::string_view text);
  [[nodiscard]] bool same_origin(const http_url& other) const {
    return tls == other.tls && host == other.host && port == other.port;
  }
  /// host[:port] for the Host field.
  [[nodiscard]] std::string authority() const;
};

struct fetch_request {
  std::string method = "GET";
  http_url url;
  std::vector<std::pair<std::string, std::string>> fields; // names in lower case; values may be secret
  std::string body;
  milliseconds connect_limit{5'000};
  milliseconds total_limit{25'000};
  size_t body_bytes_max = 1u << 20;
  bool follow_redirects = true; // within the origin only
};

struct fetch_answer {
  int status = 0;    // 0: no answer
  std::string body;
  std::string location; // of a redirect that was not followed
  std::string error; // words for the log when status is 0; no secrets
};

/// One per loop; used on its thread.
class http_client {
public:
  /// `tls` is used for https URLs; null: the system's trust store is loaded on first use.
  http_client(loop& on, std::shared_ptr<tls_context> tls);
  asio::awaitable<fetch_answer> fetch(fetch_request request);
  void clear() { idle_.clear(); }

private:
  struct idle_connection {
    http_url origin;
    stream_ptr stream;
    clock::time_point until;
  };
  struct attempt_result {
    fetch_answer answer;
    std::string location;
    bool stale = false;
  };
  asio::awaitable<attempt_result> attempt(const fetch_request& request, clock::time_point deadline_at, bool may_reuse);
  asio::awaitable<std::string> open(const http_url& url, milliseconds limit, stream_ptr& out);
  asio::awaitable<attempt_result> exchange(const fetch_request& request, stream& connection, bool& keep);
  stream_ptr take(const http_url& url);

  loop& loop_;
  dialer dialer_;
  std::shared_ptr<tls_context> tls_;
  std::vector<idle_connection> idle_;
};

} // namespace harp::net
