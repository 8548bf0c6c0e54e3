// The two loops everybody would write around try_read() and try_write().
#include "net/stream.hpp"

#include <algorithm>

namespace harp::net {

asio::awaitable<bool> write_all(stream& to, std::string_view head, std::string_view body) {
  while (!head.empty() || !body.empty()) {
    io_result done = to.try_write(head, body);
    if (done.status == io_status::again) {
      bool writable = co_await to.wait_writable();
      if (!writable)
        co_return false;
      continue;
    }
    if (done.status != io_status::ok)
      co_return false;
    size_t of_head = std::min(done.bytes, head.size());
    head.remove_prefix(of_head);
    body.remove_prefix(std::min(done.bytes - of_head, body.size()));
  }
  co_return true;
}

asio::awaitable<io_result> read_some(stream& from, std::span<char> into) {
  for (;;) {
    io_result done = from.try_read(into);
    if (done.status != io_status::again)
      co_return done;
    bool readable = co_await from.wait_readable();
    if (!readable)
      co_return io_result{};
  }
}

} // namespace harp::net
