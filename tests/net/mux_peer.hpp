// A mux session whose peer is the test itself, byte by byte.
#pragma once

#include "net/mux_codec.hpp"
#include "net/mux_session.hpp"
#include "tests/net/pipe_stream.hpp"

#include <caf/test/unit_test.hpp>

#include <memory>
#include <string>
#include <vector>

namespace harp::net {

using namespace std::chrono_literals;

inline std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16));
  return bytes;
}

inline std::string frame(mux_type type, int flags, uint32_t id, uint32_t length) {
  auto bytes = encode_mux_header({type, static_cast<uint16_t>(flags), id, length});
  return {bytes.data(), bytes.size()};
}

inline std::string syn(uint32_t id) {
  return frame(mux_type::window_update, mux_flag::syn, id, 0);
}
inline std::string fin(uint32_t id) {
  return frame(mux_type::window_update, mux_flag::fin, id, 0);
}
inline std::string rst(uint32_t id) {
  return frame(mux_type::window_update, mux_flag::rst, id, 0);
}
inline std::string ack(uint32_t id) {
  return frame(mux_type::window_update, mux_flag::ack, id, 0);
}
inline std::string credit(uint32_t id, uint32_t delta) {
  return frame(mux_type::window_update, 0, id, delta);
}
inline std::string data(uint32_t id, std::string_view bytes, int flags = 0) {
  return frame(mux_type::data, flags, id, static_cast<uint32_t>(bytes.size())).append(bytes);
}
inline std::string go_away(uint32_t code) {
  return frame(mux_type::go_away, 0, 0, code);
}

struct running {
  bool done = false;
  std::string reason;
};

inline asio::awaitable<void> run_to_end(std::shared_ptr<mux_session> session, running& state) {
  state.reason = co_await session->run();
  state.done = true;
}

struct answer {
  bool done = false;
  bool value = false;
};

inline asio::awaitable<void> keep_answer(asio::awaitable<bool> what, answer& into) {
  into.value = co_await std::move(what);
  into.done = true;
}

/// Reads what is there now; `last` is the status that ended it.
inline std::string read_all(stream& from, io_status* last = nullptr) {
  std::string bytes;
  std::vector<char> space(20'000);
  for (;;) {
    auto got = from.try_read(space);
    if (got.status != io_status::ok) {
      if (last != nullptr)
        *last = got.status;
      return bytes;
    }
    bytes.append(space.data(), got.bytes);
  }
}

inline io_status status_of(stream& from) {
  io_status last{};
  read_all(from, &last);
  return last;
}

inline mux_limits without_pings() {
  mux_limits limits;
  limits.ping_interval = 0s;
  return limits;
}

/// A server session whose peer is the test itself, byte by byte.
struct peer_fixture {
  loop on{0};
  std::unique_ptr<pipe_stream> peer;
  std::shared_ptr<mux_session> session;
  std::vector<stream_ptr> streams; // opened by the peer
  running state;
  clock::time_point now = clock::now();

  explicit peer_fixture(mux_limits limits = without_pings(), size_t capacity = 16u << 20,
                        bool half_close = true, mux_role role = mux_role::server) {
    auto [ours, theirs] = pipe_stream::make_pair(capacity);
    peer = std::move(theirs);
    session = mux_session::make(
        on, std::move(ours), role, limits,
        [this](stream_ptr opened) { streams.push_back(std::move(opened)); }, half_close);
    launch(on.executor(), run_to_end(session, state), "session");
    poll();
  }
  ~peer_fixture() {
    session->close("test over");
    poll();
  }
  void poll() {
    on.io().restart();
    on.io().poll();
  }
  void pass(clock::duration time) {
    now += time;
    on.check_deadlines(now);
    poll();
  }
  /// Sends bytes as the peer; what the session answers.
  std::string send(std::string_view bytes) {
    CAF_REQUIRE(peer->try_write(bytes).bytes == bytes.size());
    poll();
    return peer->take_all();
  }
  std::string output() {
    poll();
    return peer->take_all();
  }
};

} // namespace harp::net
