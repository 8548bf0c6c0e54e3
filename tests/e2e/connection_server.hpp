// A small threaded server for the tests' stand-ins: one thread per connection, all joined at the
// end.
#pragma once

#include "tests/e2e/http_client.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace harp::e2e {

/// A request as a stand-in received it.
struct received_request {
  std::string method;
  std::string target;
  header_list headers; // names in lower case, in order
  std::string head;    // the raw bytes up to and with the empty line
  std::string body;
  [[nodiscard]] std::string header(std::string_view name) const;
  [[nodiscard]] size_t count(std::string_view name) const;
};

/// Reads one request with Content-Length or chunked body; nothing when the connection ended or was
/// silent.
std::optional<received_request> read_request(const channel& from, std::string& rest,
                                             milliseconds limit = 60s);

std::string response_text(int status, const std::string& body,
                          const std::string& type = "application/json",
                          const std::string& more_headers = {});

/// Accepts and hands each connection to `serve` on its own thread. `serve` must return soon after
/// `stopping()`.
class connection_server {
public:
  using handler = std::function<void(channel&)>;
  explicit connection_server(handler serve, const std::string& address = "127.0.0.1:0");
  connection_server(const connection_server&) = delete;
  connection_server& operator=(const connection_server&) = delete;
  ~connection_server();

  [[nodiscard]] const std::string& address() const { return listener_.address(); }
  [[nodiscard]] int port() const { return listener_.port(); }
  [[nodiscard]] bool stopping() const { return stopping_; }
  /// Connections accepted so far.
  [[nodiscard]] int accepted() const { return accepted_; }
  /// Ends accepting and joins everything; owners whose handler uses their members call it first in
  /// their destructor.
  void stop();

private:
  void accept_loop();

  handler serve_;
  listener listener_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> accepted_{0};
  std::mutex guard_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

/// An HTTP server whose answers are a function of the request; it keeps what it received.
class scripted_server {
public:
  /// Returns the raw bytes to send; an answer that is empty closes the connection.
  using script = std::function<std::string(const received_request&)>;
  explicit scripted_server(script answer, const std::string& address = "127.0.0.1:0");
  ~scripted_server() { server_.stop(); }
  [[nodiscard]] const std::string& address() const { return server_.address(); }
  [[nodiscard]] int port() const { return server_.port(); }
  [[nodiscard]] int connections() const { return server_.accepted(); }
  std::vector<received_request> received();

private:
  void serve(channel& client);

  script answer_;
  std::mutex guard_;
  std::vector<received_request> received_;
  connection_server server_;
};

} // namespace harp::e2e
