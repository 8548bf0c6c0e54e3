// A path between a tunnel client and a node that can go dead without a word, and that gives clients another source address.
#pragma once

#include "tests/e2e/connection_server.hpp"

namespace harp::e2e {

/// Relays connections to `to`, from the address `from` when given. After cut() the far side of each open connection stays
/// open, silent and unread, as when packets are dropped; the near side is closed, so that the client dials anew.
class cut_path {
public:
  explicit cut_path(std::string to, std::string from = {});
  ~cut_path() { server_.stop(); }
  [[nodiscard]] const std::string& address() const { return server_.address(); }
  void cut() { ++cuts_; }
  /// Far sides that were left open.
  size_t dead();

private:
  void carry(channel& near);

  const std::string to_, from_;
  std::atomic<int> cuts_{0};
  std::mutex guard_;
  std::vector<channel> dead_;
  connection_server server_;
};

} // namespace harp::e2e
