// Live tunnel sessions by id. Actors and HTTP sessions name tunnels by id only; here the id becomes a session.
#pragma once

#include "net/asio.hpp"
#include "net/stream.hpp"
#include "storage/types.hpp"

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace harp::net {

/// The user side of one work stream, for StartWorkConn and the PROXY header a client may write from it.
struct work_user {
  std::string src_address = "127.0.0.1"; // IP literal without brackets, never IPv4-mapped
  uint16_t src_port = 0;
  std::string dst_address = "127.0.0.1";
  uint16_t dst_port = 0;
};

/// What to show of a session (`harp status`, console).
struct tunnel_facts {
  uint64_t session = 0;
  std::string peer, version, hostname, run_id;
  bool tls = false, mux = false;
  std::vector<std::string> proxies;
  uint64_t bytes_in = 0, bytes_out = 0; // of work streams, from and to the client
  size_t streams = 0;
  int64_t since_unix_s = 0;
};

enum class work_error : uint8_t { none, no_tunnel, no_stream }; // no_stream: none came within the limit

struct work_stream {
  stream_ptr stream;
  work_error error = work_error::none;
};

/// A tunnel session as its users see it. Thread-safe.
class tunnel {
public:
  virtual ~tunnel() = default;
  /// A ready work stream for proxy `name`: taken from the pool or asked for (at most `limit`, 10 s in HaRP); StartWorkConn is
  /// queued in front of the first data. Resumes on the caller's executor.
  virtual asio::awaitable<work_stream> open(std::string name, work_user user,
                                            std::chrono::milliseconds limit) = 0;
  /// Is the client there? Mux: a ping; else: heard of within 35 s.
  virtual asio::awaitable<bool> alive(std::chrono::milliseconds limit) = 0;
  /// Ends the session without waiting for the peer.
  virtual void close(std::string reason) = 0;
  virtual tunnel_facts facts() const = 0;
};

/// Thread-safe table of tunnels.
class tunnel_table {
public:
  uint64_t next_id();
  void add(uint64_t id, std::shared_ptr<tunnel> session);
  void remove(uint64_t id);
  [[nodiscard]] std::shared_ptr<tunnel> find(uint64_t id) const;
  [[nodiscard]] std::vector<std::shared_ptr<tunnel>> all() const;

private:
  mutable std::mutex mutex_;
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<tunnel>> sessions_;
};

} // namespace harp::net
