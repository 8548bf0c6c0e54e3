// Opens streams to names, addresses and unix sockets, within a limit.
#pragma once

#include "net/runtime.hpp"
#include "net/stream.hpp"

#include <chrono>
#include <string>
#include <unordered_map>
#include <vector>

namespace harp::net {

inline constexpr size_t resolved_names_max = 1024;
inline constexpr size_t addresses_per_name_max = 4;
inline constexpr seconds resolved_life{5}; // good and bad answers alike (appapi-harp.md FR3, FR4)
inline constexpr seconds resolve_limit{10};
inline constexpr size_t resolver_threads_max = 4;

enum class dial_error : uint8_t { none, unresolvable, refused, timeout, failed };

struct dial_result {
  stream_ptr stream;
  dial_error error = dial_error::none;
};

/// One per loop; not thread-safe.
class dialer {
public:
  explicit dialer(loop& on) : loop_(on) {}
  /// Connects to `host` (IP literal, with or without brackets, or name; IPv4 preferred) and `port`.
  asio::awaitable<dial_result> tcp(std::string host, uint16_t port, milliseconds limit);
  asio::awaitable<dial_result> unix_socket(std::string path, milliseconds limit);

private:
  struct known_name {
    std::vector<std::string> addresses; // empty = could not be resolved
    clock::time_point until;
  };
  asio::awaitable<std::vector<std::string>> resolve(std::string host);

  loop& loop_;
  std::unordered_map<std::string, known_name> names_;
};

} // namespace harp::net
