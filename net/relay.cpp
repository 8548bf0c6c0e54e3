#include "net/relay.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

namespace harp::net {

namespace {

struct side_names {
  const char* closed;
  const char* failed;
};
constexpr side_names a_names{"client closed", "client connection failed"};
constexpr side_names b_names{"upstream closed", "upstream connection failed"};

/// What both directions of one relay share; lives in relay()'s frame.
struct relay_state {
  loop& on;
  stream& a;
  stream& b;
  relay_options options;
  relay_end end;
  bool half_closed = false;
  deadline limit;

  relay_state(loop& where, stream& left, stream& right, relay_options wanted)
    : on(where), a(left), b(right), options(wanted), limit(where, [this] { expire(); }) {
    touch();
  }

  void touch() {
    if (half_closed)
      limit.in(options.half_closed);
    else
      limit.in(options.idle);
  }

  void finish(const char* reason) {
    if (*end.reason == '\0')
      end.reason = reason;
  }

  void expire() {
    stop(half_closed ? "half-closed and silent" : "idle limit");
  }

  void stop(const char* reason) {
    finish(reason);
    limit.off();
    a.cancel();
    b.cancel();
  }
};

/// Moves what is readable now. True: go on waiting. False: this direction is over.
asio::awaitable<bool> move_available(relay_state& state, stream& from, stream& to, uint64_t& count,
                                     std::atomic<uint64_t>* live, const side_names& names,
                                     size_t& want) {
  buffer borrowed{state.on, want};
  for (;;) {
    auto got = from.try_read({borrowed.data(), borrowed.size()});
    switch (got.status) {
      case io_status::again:
        co_return true;
      case io_status::eof:
        state.finish(names.closed);
        co_return false;
      case io_status::failed:
        state.stop(names.failed);
        co_return false;
      case io_status::ok:
        break;
    }
    state.touch();
    count += got.bytes;
    if (live != nullptr)
      live->fetch_add(got.bytes, std::memory_order_relaxed);
    if (!co_await write_all(to, {borrowed.data(), got.bytes})) {
      state.stop(&names == &a_names ? b_names.failed : a_names.failed);
      co_return false;
    }
    state.touch();
    if (got.bytes < borrowed.size()) // drained: waiting is cheaper than a read that says so
      co_return true;
    want = large_buffer_bytes;
  }
}

asio::awaitable<void> pump(relay_state& state, stream& from, stream& to, uint64_t& count,
                           std::atomic<uint64_t>* live, const side_names& names) {
  size_t want = buffer_bytes;
  for (;;) {
    if (!co_await from.wait_readable())
      co_return;
    if (!co_await move_available(state, from, to, count, live, names, want))
      break;
  }
  if (to.half_closes())
    to.shutdown_write();
  state.half_closed = true; // the other direction may still talk, but not be silent for long
  state.touch();
  co_await to.wait_writable(); // TLS: until the last record is out
}

} // namespace

asio::awaitable<relay_end> relay(loop& on, stream& a, stream& b, relay_options options) {
  using namespace asio::experimental::awaitable_operators;
  relay_state state{on, a, b, options};
  co_await (pump(state, a, b, state.end.bytes_from_a, options.from_a, a_names)
            && pump(state, b, a, state.end.bytes_from_b, options.from_b, b_names));
  co_return state.end;
}

} // namespace harp::net
