// WebSocket frames around bytes: heads parsed strictly, payloads passed on as they come.
#include "net/websocket_stream.hpp"

#include "net/waiter.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace harp::net {

// -- the stream -----------------------------------------------------------------------------------

namespace {

constexpr uint16_t normal_closure = 1000;

/// Shared, because the coroutine that sends the rest may outlive the stream.
class ws_core : public std::enable_shared_from_this<ws_core> {
public:
  ws_core(loop& on, stream_ptr inner, ws_role role, std::string early)
      : loop_(on), inner_(std::move(inner)), role_(role), raw_(std::move(early)) {}

  io_result read(std::span<char> into);
  io_result write(std::string_view head, std::string_view body);
  static asio::awaitable<bool> readable(std::shared_ptr<ws_core> self);
  static asio::awaitable<bool> writable(std::shared_ptr<ws_core> self);
  void shutdown_write();
  void cancel();
  void close(bool reset);
  void flush() { push(); } // answers to pings
  stream& inner() { return *inner_; }
  [[nodiscard]] std::string failure() const {
    return failure_.empty() ? inner_->failure() : failure_;
  }
  [[nodiscard]] bool is_silent() {
    return !closed_ && !end_ && raw_.empty() && left_ == 0 && inner_->is_silent();
  }

private:
  io_result fail(const char* why);
  io_result fill();
  io_result read_payload(std::span<char> into);
  bool start_frame();
  bool take_control();
  void put_frame(ws_opcode code, std::string_view head, std::string_view body);
  [[nodiscard]] bool unsent() const { return sent_ < out_.size(); }
  void push();
  void send_out();
  static asio::awaitable<void> drain(std::shared_ptr<ws_core> self);

  loop& loop_;
  stream_ptr inner_;
  const ws_role role_;
  std::string raw_; // received and not yet understood: at most a head and what came with it
  size_t need_ = ws_head_bytes_max; // bytes in raw_ that the next step may want
  ws_head frame_;
  uint64_t left_ = 0;  // payload of frame_ still to come
  size_t mask_at_ = 0; // of frame_
  bool in_message_ = false;
  unsigned idle_frames_ = 0;
  std::string out_;
  size_t sent_ = 0;
  waiter writer_;
  std::string failure_;
  std::optional<io_status> end_;
  unsigned cancels_ = 0;
  bool starved_ = false;
  bool draining_ = false;
  bool write_failed_ = false;
  bool close_sent_ = false;
  bool closed_ = false;
};

io_result ws_core::fail(const char* why) {
  if (failure_.empty())
    failure_ = why;
  end_ = io_status::failed;
  return {io_status::failed, 0};
}

/// Some more bytes of a head or a control frame; never many more, so that payloads go straight to
/// whom they are for.
io_result ws_core::fill() {
  std::array<char, ws_head_bytes_max + ws_control_bytes_max> piece;
  io_result got = inner_->try_read({piece.data(), need_ - raw_.size()});
  if (got.status == io_status::ok)
    raw_.append(piece.data(), got.bytes);
  return got;
}

io_result ws_core::read_payload(std::span<char> into) {
  io_result got;
  auto most = static_cast<size_t>(std::min<uint64_t>(into.size(), left_));
  if (raw_.empty()) {
    got = inner_->try_read(into.first(most));
  } else {
    got = {io_status::ok, std::min(most, raw_.size())};
    std::memcpy(into.data(), raw_.data(), got.bytes);
    raw_.erase(0, got.bytes);
  }
  if (got.status != io_status::ok)
    return got;
  if (frame_.masked)
    apply_ws_mask(into.data(), got.bytes, frame_.mask, mask_at_);
  mask_at_ = (mask_at_ + got.bytes) % 4;
  left_ -= got.bytes;
  return got;
}

/// Understands the head in raw_, if it is all there; false when more is needed or all is over.
bool ws_core::start_frame() {
  size_t used = 0;
  need_ = ws_head_bytes_max;
  ws_parse parsed = parse_ws_head(raw_, role_, frame_, used);
  if (parsed == ws_parse::bad)
    fail("the peer's WebSocket frame is not one");
  if (parsed != ws_parse::done)
    return false;
  if (is_control(frame_.opcode)) {
    need_ = used + static_cast<size_t>(frame_.length);
    if (raw_.size() < need_)
      return false;
    raw_.erase(0, used);
    return take_control();
  }
  bool continues = frame_.opcode == ws_opcode::continuation;
  if (frame_.opcode == ws_opcode::text || continues != in_message_) {
    fail("the peer's WebSocket message is not binary");
    return false;
  }
  in_message_ = !frame_.fin;
  raw_.erase(0, used);
  left_ = frame_.length;
  mask_at_ = 0;
  return true;
}

bool ws_core::take_control() {
  std::string said = raw_.substr(0, static_cast<size_t>(frame_.length));
  raw_.erase(0, said.size());
  if (frame_.masked)
    apply_ws_mask(said.data(), said.size(), frame_.mask, 0);
  if (frame_.opcode == ws_opcode::ping && !close_sent_
      && !unsent()) // else the next one is answered
    put_frame(ws_opcode::pong, said, {});
  if (frame_.opcode != ws_opcode::close)
    return true;
  shutdown_write();
  end_ = io_status::eof;
  return false;
}

io_result ws_core::read(std::span<char> into) {
  while (!end_ && !closed_) {
    if (left_ > 0) {
      io_result got = read_payload(into);
      starved_ = got.status == io_status::again;
      if (got.status == io_status::ok)
        idle_frames_ = 0;
      else if (got.status == io_status::eof)
        return fail("the connection ended inside a WebSocket frame");
      return got;
    }
    if (start_frame()) {
      if (left_ == 0 && ++idle_frames_ > ws_idle_frames_max)
        return fail("the peer floods with empty WebSocket frames");
      continue;
    }
    if (end_)
      break;
    io_result got = fill();
    if (got.status == io_status::ok)
      continue;
    starved_ = got.status == io_status::again;
    if (got.status == io_status::eof)
      return fail("the connection ended without a WebSocket Close");
    return got;
  }
  return {end_.value_or(io_status::failed), 0};
}

asio::awaitable<bool> ws_core::readable(std::shared_ptr<ws_core> self) {
  // Unless a read just said `again`, there may be something in raw_.
  bool starved = std::exchange(self->starved_, false);
  if (self->closed_)
    co_return false;
  if (!starved || self->end_)
    co_return true;
  co_return co_await self->inner_->wait_readable();
}

// -- sending --------------------------------------------------------------------------------------

void ws_core::put_frame(ws_opcode code, std::string_view head, std::string_view body) {
  ws_head frame;
  frame.opcode = code;
  frame.masked = role_ == ws_role::client;
  frame.length = head.size() + body.size();
  if (frame.masked && RAND_bytes(frame.mask.data(), static_cast<int>(frame.mask.size())) != 1) {
    write_failed_ = true;
    return;
  }
  std::array<char, ws_head_bytes_max> encoded;
  out_.append(encoded.data(), encode_ws_head(frame, encoded.data()));
  size_t begin = out_.size();
  out_ += head;
  out_ += body;
  if (frame.masked)
    apply_ws_mask(out_.data() + begin, out_.size() - begin, frame.mask, 0);
}

void ws_core::send_out() {
  io_result done = inner_->try_write(std::string_view{out_}.substr(sent_));
  if (done.status == io_status::ok)
    sent_ += done.bytes;
  else if (done.status != io_status::again)
    write_failed_ = true;
  if (unsent() && !write_failed_)
    return;
  sent_ = 0;
  out_.clear();
}

/// Sends now; what the carrier does not take follows in the background.
void ws_core::push() {
  if (draining_ || closed_ || !unsent())
    return;
  send_out();
  if (!unsent())
    return;
  draining_ = true;
  launch(loop_.executor(), drain(shared_from_this()), "websocket drain");
}

asio::awaitable<void> ws_core::drain(std::shared_ptr<ws_core> self) {
  while (self->unsent() && !self->closed_) {
    unsigned cancels = self->cancels_;
    bool writable = co_await self->inner_->wait_writable();
    if (self->closed_)
      break;
    // A cancel() is meant for our users, not for bytes that they have already handed over.
    if (writable)
      self->send_out();
    else if (cancels == self->cancels_)
      self->write_failed_ = true;
    if (self->write_failed_)
      break;
  }
  self->draining_ = false;
  self->writer_.resume(!self->closed_);
}

io_result ws_core::write(std::string_view head, std::string_view body) {
  if (closed_ || close_sent_ || write_failed_ || end_ == io_status::failed)
    return {io_status::failed, 0};
  size_t taken = 0;
  while (!unsent() && head.size() + body.size() > 0 && !write_failed_) {
    size_t of_head = std::min(head.size(), ws_payload_bytes_max);
    size_t of_body = std::min(body.size(), ws_payload_bytes_max - of_head);
    put_frame(ws_opcode::binary, head.substr(0, of_head), body.substr(0, of_body));
    head.remove_prefix(of_head);
    body.remove_prefix(of_body);
    taken += of_head + of_body;
    push();
  }
  if (write_failed_)
    return {io_status::failed, 0};
  return {taken == 0 && head.size() + body.size() > 0 ? io_status::again : io_status::ok, taken};
}

asio::awaitable<bool> ws_core::writable(std::shared_ptr<ws_core> self) {
  if (self->closed_)
    co_return false;
  if (!self->unsent() || self->write_failed_)
    co_return true;
  bool writable = co_await suspend(
      [core = self.get()](waiter suspended) { core->writer_ = std::move(suspended); });
  co_return writable;
}

// -- endings --------------------------------------------------------------------------------------

void ws_core::shutdown_write() {
  if (closed_ || write_failed_ || std::exchange(close_sent_, true))
    return;
  std::array<char, 2> code{static_cast<char>(normal_closure >> 8),
                           static_cast<char>(normal_closure & 0xff)};
  put_frame(ws_opcode::close, {code.data(), code.size()}, {});
  push();
}

void ws_core::cancel() {
  ++cancels_;
  inner_->cancel();
  writer_.resume(false);
}

void ws_core::close(bool reset) {
  if (closed_)
    return;
  if (!reset && !unsent())
    shutdown_write();
  closed_ = true;
  inner_->close(reset);
  std::string{}.swap(out_);
  sent_ = 0;
  writer_.resume(false);
}

class websocket_stream final : public stream {
public:
  explicit websocket_stream(std::shared_ptr<ws_core> core) : core_(std::move(core)) {}
  ~websocket_stream() override { core_->close(false); }

  using stream::try_write;
  io_result try_read(std::span<char> into) override {
    io_result got = core_->read(into);
    core_->flush();
    return got;
  }
  io_result try_write(std::string_view head, std::string_view body) override {
    return core_->write(head, body);
  }
  asio::awaitable<bool> wait_readable() override { return ws_core::readable(core_); }
  asio::awaitable<bool> wait_writable() override { return ws_core::writable(core_); }
  void shutdown_write() override { core_->shutdown_write(); }
  [[nodiscard]] bool half_closes() const override { return false; } // a Close is answered by one
  void cancel() override { core_->cancel(); }
  void close(bool reset) override { core_->close(reset); }
  [[nodiscard]] bool peer_gone() override { return core_->inner().peer_gone(); }
  [[nodiscard]] bool peer_finished() override { return core_->inner().peer_finished(); }
  [[nodiscard]] bool is_silent() override { return core_->is_silent(); }
  [[nodiscard]] std::string failure() const override { return core_->failure(); }

private:
  std::shared_ptr<ws_core> core_;
};

} // namespace

stream_ptr make_websocket_stream(loop& on, stream_ptr inner, ws_role role, std::string early) {
  return std::make_unique<websocket_stream>(
      std::make_shared<ws_core>(on, std::move(inner), role, std::move(early)));
}

} // namespace harp::net
