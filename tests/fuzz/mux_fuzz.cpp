// Fuzz target: bytes of a hostile peer against a mux session, in memory and on one thread.
// The first byte chooses role, trust and the size of the pieces; the rest is what the peer sends.
#include "net/mux_session.hpp"
#include "tests/net/pipe_stream.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace {

using namespace harp::net;

constexpr size_t pipe_bytes = 64 * 1024;

asio::awaitable<void> run_to_end(std::shared_ptr<mux_session> session, bool& done) {
  co_await session->run();
  done = true;
}

/// What a user of streams does: reads some, writes some, ends some.
void use(std::vector<stream_ptr>& streams, uint8_t how) {
  std::array<char, 1000> space{};
  for (size_t i = 0; i < streams.size(); ++i) {
    if ((how & 1) != 0)
      streams[i]->try_read(space);
    if ((how & 2) != 0)
      streams[i]->try_write({space.data(), how});
    if ((how & 0x1c) == 0x1c)
      streams[i]->shutdown_write();
    if ((how & 0xe0) == 0xe0)
      streams[i]->close((how & 4) != 0);
  }
}

void poll(loop& on) {
  on.io().restart();
  on.io().poll();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0)
    return 0;
  uint8_t options = bytes[0];
  std::string_view input{reinterpret_cast<const char*>(bytes) + 1, size - 1};
  size_t piece = 1 + (options >> 2);
  loop on{0};
  auto [ours, peer] = pipe_stream::make_pair(pipe_bytes);
  std::vector<stream_ptr> streams;
  mux_limits limits;
  limits.streams_max = 8;
  auto session = mux_session::make(
      on, std::move(ours), (options & 1) != 0 ? mux_role::client : mux_role::server, limits,
      [&](stream_ptr opened) { streams.push_back(std::move(opened)); });
  if ((options & 2) != 0)
    session->set_trusted();
  streams.push_back(session->open());
  bool done = false;
  launch(on.executor(), run_to_end(session, done), "session");
  while (!input.empty() && !done) {
    peer->try_write(input.substr(0, piece));
    use(streams, static_cast<uint8_t>(input.front()));
    input.remove_prefix(std::min(piece, input.size()));
    poll(on);
    peer->take_all();
  }
  on.check_deadlines(on.coarse_now() + seconds{400});
  poll(on);
  streams.clear();
  session->close("input is over");
  poll(on);
  if (!done || session->stream_count() != 0 || session->unread_bytes() != 0)
    std::abort();
  return 0;
}
