// One blocking exchange over TCP with a time limit: connect, send everything, read until the other
// side closes.
#pragma once

#include <chrono>
#include <string>

namespace harp::web {

struct exchange_result {
  std::string received;
  std::string error; // not empty: nothing usable; names the address and the cause
};

/// `address` is HOST:PORT with an IP literal; an unspecified one means this machine. The limit is
/// for everything together.
exchange_result exchange(const std::string& address, const std::string& request,
                         size_t received_bytes_max, std::chrono::milliseconds limit);

} // namespace harp::web
