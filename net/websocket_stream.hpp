// A byte stream inside the binary messages of a WebSocket (RFC 6455), either side. What is inside
// marks its own ends: message borders mean nothing, a Close frame is the end.
#pragma once

#include "net/runtime.hpp"
#include "net/stream.hpp"
#include "net/websocket_codec.hpp"

#include <string>

namespace harp::net {

inline constexpr size_t ws_payload_bytes_max = 64 * 1024; // of a frame we send
inline constexpr unsigned ws_idle_frames_max = 256;       // in a row that carry no data: a flood

/// The stream of an established WebSocket; `early` was read behind its HTTP head.
stream_ptr make_websocket_stream(loop& on, stream_ptr inner, ws_role role, std::string early = {});

struct ws_result {
  stream_ptr stream; // null when it failed
  std::string error;
};

/// Reads an upgrade request for `path` and answers it; anything else gets an HTTP error and an end.
asio::awaitable<ws_result> websocket_accept(loop& on, stream_ptr inner, std::string path,
                                            milliseconds limit);
/// Asks for the upgrade. `host` is what the Host field says.
asio::awaitable<ws_result> websocket_connect(loop& on, stream_ptr inner, std::string host,
                                             std::string path, milliseconds limit);

} // namespace harp::net
