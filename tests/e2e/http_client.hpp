// A plain HTTP/1.1 client that shows exactly what came back; it sends what it is told, right or
// wrong.
#pragma once

#include "tests/e2e/channel.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace harp::e2e {

using header_list = std::vector<std::pair<std::string, std::string>>;

/// An answer, or how its place stayed empty: status 0 and `how`.
struct response {
  int status = 0;
  header_list headers; // names in lower case
  std::string body;
  heard how = heard::data; // data: complete; else what ended it early
  bool complete = false;

  [[nodiscard]] std::string header(std::string_view name) const;
  [[nodiscard]] size_t count(std::string_view name) const;
  /// No byte came and the connection ended: Harp's silent drop.
  [[nodiscard]] bool dropped() const {
    return status == 0 && headers.empty() && (how == heard::end || how == heard::reset);
  }
};

/// One connection, requests one after the other.
class http_client {
public:
  explicit http_client(const std::string& address, const std::string& from = {})
      : channel_(channel::connect(address, 5s, from)) {}
  explicit http_client(channel connected) : channel_(std::move(connected)) {}

  [[nodiscard]] bool open() const { return channel_.open(); }
  channel& raw() { return channel_; }
  bool send(std::string_view bytes) { return channel_.send(bytes); }
  /// Reads one answer (skipping 100). `to_head`: the answer to a HEAD, without body.
  response receive(milliseconds limit = 10s, bool to_head = false);
  /// Only the head; the body is left to take().
  response receive_head(milliseconds limit = 10s);
  /// Bytes that came behind the last answer.
  std::string& rest() { return rest_; }
  response ask(const std::string& method, const std::string& target,
               const header_list& headers = {}, const std::string& body = {},
               milliseconds limit = 10s);

private:
  heard more(clock::time_point end);
  void receive_chunked(response& into, clock::time_point end);

  channel channel_;
  std::string rest_;
};

/// The text of a request with Host, and Content-Length when there is a body.
std::string request_text(const std::string& method, const std::string& target,
                         const header_list& headers = {}, const std::string& body = {});

/// One request on a connection of its own.
response request(const std::string& address, const std::string& method, const std::string& target,
                 const header_list& headers = {}, const std::string& body = {},
                 milliseconds limit = 10s);
inline response get(const std::string& address, const std::string& target,
                    const header_list& headers = {}, milliseconds limit = 10s) {
  return request(address, "GET", target, headers, {}, limit);
}

/// Sends bytes as they are on a fresh connection and reads what comes until the end or `limit`.
std::string exchange(const std::string& address, std::string_view bytes, milliseconds limit = 5s,
                     heard* how = nullptr);

/// A body of the sample's pattern, received and checked byte by byte.
struct download_result {
  int status = 0;
  uint64_t bytes = 0;
  bool pattern_right = true;
};
/// `pause_after_bytes`: waits `pause` once, to be a slow reader. Any answer's body is compared with
/// `i % 251`.
download_result download(const std::string& address, const std::string& target,
                         const header_list& headers = {}, milliseconds limit = 60s);

/// POSTs `bytes` of the pattern, with Content-Length or chunked; the answer to it.
response upload(const std::string& address, const std::string& target, uint64_t bytes, bool chunked,
                const header_list& headers = {}, milliseconds limit = 60s);
/// SHA-256 of the first `bytes` of the pattern.
std::string pattern_sha256(uint64_t bytes);

inline header_list basic_auth(const std::string& user, const std::string& password) {
  return {{"Authorization", "Basic " + base64(user + ":" + password)}};
}
inline header_list session(const std::string& name) {
  return {{"Cookie", "nc_session=1; oc_sessionPassphrase=" + name}};
}

} // namespace harp::e2e
