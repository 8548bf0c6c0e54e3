// A conversation of frp messages over a stream: the reading and writing.
#include "net/frp_channel.hpp"

namespace harp::net::frp {

asio::awaitable<bool> channel::read_exactly(std::span<char> into, std::string& end) {
  size_t have = 0;
  while (have < into.size()) {
    const auto rest = into.subspan(have);
    const io_result got = co_await read_some(*carrier_, rest);
    if (got.status != io_status::ok || failed_) {
      end = got.status == io_status::eof && !failed_ ? "the peer ended the stream"
                                                     : "the connection was lost";
      co_return false;
    }
    ptrdiff_t plain = static_cast<ptrdiff_t>(got.bytes);
    if (reader_)
      plain = reader_->read(rest.data(), got.bytes);
    if (plain < 0) {
      end = "cipher failed";
      co_return false;
    }
    have += static_cast<size_t>(plain);
  }
  co_return true;
}

asio::awaitable<received> channel::receive() {
  received out;
  std::array<char, v1_header_bytes> head{};
  const bool got_head = co_await read_exactly(head, out.end);
  if (!got_head)
    co_return out;
  v1_header header = v1_read_header({head.data(), head.size()});
  if (!header.error.empty()) {
    out.end = std::move(header.error);
    co_return out;
  }
  std::string body(header.length, '\0'); // checked: at most message_bytes_max
  const bool got_body = co_await read_exactly(body, out.end);
  if (!got_body)
    co_return out;
  decoded result = v1_read_body(header, body);
  out.value = std::move(result.value);
  out.end = std::move(result.error);
  co_return out;
}

bool channel::push() {
  while (!unsent_.empty()) {
    const io_result done = carrier_->try_write(unsent_);
    if (done.status == io_status::again)
      return true;
    if (done.status != io_status::ok) {
      failed_ = true;
      return false;
    }
    unsent_.erase(0, done.bytes);
  }
  return true;
}

bool channel::send(const message& what) {
  const std::string frame = v1_frame(what);
  if (failed_ || finishing_ || frame.empty()
      || unsent_.size() + frame.size() > channel_unsent_bytes_max)
    return false;
  const size_t at = unsent_.size();
  unsent_ += frame;
  if (writer_ && !writer_->seal(unsent_, at))
    failed_ = true;
  if (failed_ || draining_ || !push())
    return !failed_;
  if (!unsent_.empty()) {
    draining_ = true;
    launch(loop_.executor(), drain(), "frp channel");
  }
  return true;
}

asio::awaitable<void> channel::drain() {
  const auto self = shared_from_this();
  while (!unsent_.empty() && !failed_) {
    const bool writable = co_await carrier_->wait_writable();
    if (!writable)
      failed_ = true;
    else
      push();
  }
  draining_ = false;
  if (finishing_)
    finish();
}

void channel::finish() {
  finishing_ = true;
  if (unsent_.empty() && !failed_)
    carrier_->shutdown_write();
}

void channel::encipher(const cipher_key& key) {
  reader_.emplace(key);
  writer_.emplace(key);
}

void channel::close(bool reset) {
  failed_ = true;
  if (carrier_)
    carrier_->close(reset);
}

} // namespace harp::net::frp
