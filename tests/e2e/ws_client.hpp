// A WebSocket client for tests: handshake, masked frames, what came back.
#pragma once

#include "tests/e2e/http_client.hpp"

#include <optional>

namespace harp::e2e {

/// One WebSocket. Not open when the handshake was refused; then `refusal` tells how.
class ws_client {
public:
  ws_client(const std::string& address, const std::string& target, const header_list& headers = {});

  [[nodiscard]] bool open() const { return open_; }
  [[nodiscard]] const response& refusal() const { return answer_; }
  bool send_text(std::string_view text);
  /// The next text or binary message; nothing when the socket ends (see `how`) or `limit` is over.
  std::optional<std::string> receive(milliseconds limit = 10s);
  /// Sends and expects the same back.
  bool echoes(const std::string& text, milliseconds limit = 10s);
  [[nodiscard]] heard how() const { return how_; }
  channel& raw() { return client_.raw(); }

private:
  bool have(size_t bytes, clock::time_point end);

  http_client client_;
  response answer_;
  bool open_ = false;
  heard how_ = heard::data;
};

/// The Sec-WebSocket-Accept that belongs to a key.
std::string accept_for(const std::string& key);

} // namespace harp::e2e
