// What tunnel tests stand in: a node with a tunnel listener, an ExApp on a unix socket, its record on a free port.
#pragma once

#include "tests/e2e/site.hpp"
#include "tests/e2e/tunnel_client.hpp"

#include <caf/test/unit_test.hpp>

#include <memory>

namespace harp::e2e {

inline constexpr uint64_t mib = 1024 * 1024;

/// `begin` starts it; at the end its log must hold no error.
class tunnel_site {
public:
  temp_dir dir;
  int port = free_exapp_port();
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  sample_app sample{"unix:" + (dir / "app.sock")};
  std::unique_ptr<node> node_;

  /// False when the node does not come up.
  bool begin_node(bool tls, settings environment);
  /// Settings that must be accepted.
  [[nodiscard]] tunnel_settings lawful(bool tls = false) const;
  response through(const std::string& target, const std::string& app = "app",
                   milliseconds limit = 12s) const;
  bool reachable(const std::string& app = "app", milliseconds limit = 15s) const;
  bool unreachable(milliseconds limit = 5s) const;
  /// Down, up and a WebSocket. nfrp-client leaves some connections hanging with every server, frps included, so that
  /// with it each part may be tried again.
  bool round_trip(const tunnel_program& program, uint64_t bytes = 3 * mib) const;
  [[nodiscard]] double sessions() const { return node_->metric("harp_tunnel_sessions"); }

private:
  bool round_trip_once(uint64_t bytes) const;
};

/// Every client there is, harp expose last; looked for once.
const std::vector<tunnel_program>& every_tunnel_program();

/// A tunnel_site as a test fixture: a node that does not come up fails the test, and so does an error line in its log.
struct tunnel_fixture : tunnel_site {
  void begin(bool tls = false, settings environment = {}) {
    CAF_REQUIRE(begin_node(tls, std::move(environment)));
  }
  ~tunnel_fixture() {
    if (node_)
      CAF_CHECK_EQUAL(node_->error_lines(), std::vector<std::string>{});
  }
};

} // namespace harp::e2e
