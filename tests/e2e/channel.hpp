// A blocking stream socket with deadlines: what the tests' clients and stand-ins talk through.
#pragma once

#include "tests/e2e/place.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace harp::e2e {

/// How a read ended.
enum class heard : uint8_t { data, end, reset, silence };

/// One connection. Moves, closes itself.
class channel {
public:
  channel() = default;
  explicit channel(int descriptor) : descriptor_(descriptor) {}
  channel(channel&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  channel& operator=(channel&& other) noexcept;
  ~channel() { close(); }

  /// `HOST:PORT`, `[v6]:PORT` or `unix:/path`. Not open on failure. `from` binds the client's own
  /// IP address.
  static channel connect(const std::string& address, milliseconds limit = 5s,
                         const std::string& from = {});

  [[nodiscard]] bool open() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  /// Sends all of it, waiting at most `limit` for each piece to be taken.
  bool send(std::string_view bytes, milliseconds limit = 20s) const;
  /// Appends what is there (at least one byte unless it ends) to `into`.
  heard receive(std::string& into, milliseconds limit = 10s, size_t bytes_max = 256 * 1024) const;
  /// Reads until the other side ends or `limit` is over.
  heard receive_all(std::string& into, milliseconds limit = 10s) const;
  void end_sending() const;
  /// A small receive buffer, for slow readers; call right after connecting.
  void shrink_receive_buffer(int bytes) const;
  void close();
  /// Closes with a reset.
  void reset();

private:
  int descriptor_ = -1;
};

/// A listening socket on loopback (port 0) or a unix path.
class listener {
public:
  explicit listener(const std::string& address = "127.0.0.1:0");
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;
  ~listener();
  [[nodiscard]] bool open() const { return descriptor_ >= 0; }
  /// `127.0.0.1:PORT` or `unix:/path`.
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] int port() const;
  channel accept(milliseconds limit) const;

private:
  int descriptor_ = -1;
  std::string address_;
};

/// A port on 127.0.0.1 that was free a moment ago, for programs that cannot be told 0.
int free_port();
/// The same among the ports that ExApps get (23000-23999): nobody else's listener may answer in a tunnel's place.
int free_exapp_port();

} // namespace harp::e2e
