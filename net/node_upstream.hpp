// Requests to an app that another node of the cluster serves: the streams that the HTTP front needs for them.
#pragma once

#include "net/asio.hpp"
#include "net/stream.hpp"
#include "storage/types.hpp"

namespace harp::net {

/// The way to one app on other nodes. Thread-safe; fulfilled by actors/bridge_apps.*, by fakes in tests.
class node_route {
public:
  virtual ~node_route() = default;
  /// A stream for one request to a node that serves the app, its Open frame (storage.md 11) queued in front of the first
  /// data; null when no such node is linked. `client` is the address as found here. Resumes on the caller's executor,
  /// where the stream is to be used.
  virtual asio::awaitable<stream_ptr> open(ip_address client) = 0;
};

/// True when the far node reset this stream: it refused the request without a word (appapi-harp.md 2.4, DROP). False when
/// the link went away.
bool is_reset_by_node(const stream& from);

} // namespace harp::net
