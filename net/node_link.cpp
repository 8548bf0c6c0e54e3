// One node link: control frames in order on stream 1, every other stream to the gate.
#include "net/frp_layer.hpp"
#include "net/log.hpp"
#include "net/node_link_core.hpp"

namespace harp::net {

namespace {

using guard = std::lock_guard<std::mutex>;

/// Counts what a link's TLS stream carries.
class counted final : public frp::layer {
public:
  counted(stream_ptr inner, std::atomic<uint64_t>& in, std::atomic<uint64_t>& out)
      : layer(std::move(inner)), in_(in), out_(out) {}
  using stream::try_write;
  io_result try_read(std::span<char> into) override {
    io_result got = inner_->try_read(into);
    in_.fetch_add(got.bytes, std::memory_order_relaxed);
    return got;
  }
  io_result try_write(std::string_view head, std::string_view body) override {
    io_result done = inner_->try_write(head, body);
    out_.fetch_add(done.bytes, std::memory_order_relaxed);
    return done;
  }

private:
  std::atomic<uint64_t>& in_;
  std::atomic<uint64_t>& out_;
};

mux_limits mux_limits_of(const node_limits& limits) {
  mux_limits out;
  out.streams_max = limits.data_streams_max + 1; // and stream 1
  out.unacked_opens_max = limits.data_streams_max;
  out.unread_bytes_max = limits.unread_bytes_max;
  out.window_bytes_max = limits.window_bytes_max;
  out.opens_per_second_max = link_opens_per_second_max;
  out.ping_interval = seconds{0}; // Ping frames carry the clock (storage.md 11)
  return out;
}

} // namespace

std::string_view to_string(link_path path) {
  switch (path) {
  case link_path::tcp:
    return "tcp";
  case link_path::websocket:
    return "websocket";
  case link_path::relayed:
    return "relayed";
  }
  return "";
}

void node_link::note_round_trip(std::chrono::microseconds sample) {
  int64_t known = srtt_us_.load(std::memory_order_relaxed);
  int64_t next = known == 0 ? sample.count() : (7 * known + sample.count()) / 8;
  srtt_us_.store(std::max<int64_t>(next, 1), std::memory_order_relaxed);
}

link_core::link_core(loop& on, link_facts facts, const node_limits& limits, node_gate& gate,
                     end_handler ended)
    : loop_(on), facts_(std::move(facts)), limits_(limits), gate_(gate),
      on_ended_(std::move(ended)) {}

void link_core::start(stream_ptr carrier) {
  auto self = std::static_pointer_cast<link_core>(shared_from_this());
  auto handler = [weak = std::weak_ptr{self}](stream_ptr opened) {
    if (auto link = weak.lock())
      link->incoming(std::move(opened));
  };
  mux_ = mux_session::make(
      loop_, std::make_unique<counted>(std::move(carrier), carrier_received_, carrier_sent_),
      facts_.dialled ? mux_role::client : mux_role::server, mux_limits_of(limits_),
      std::move(handler), true);
  mux_->set_trusted(); // who is not a member never gets here
  if (facts_.dialled)
    set_control(mux_->open());
  launch(loop_.executor(), run(self), "node link");
}

asio::awaitable<bool> link_core::confirm(milliseconds limit) {
  auto self = shared_from_this();
  co_return co_await mux_->ping(limit);
}

void link_core::begin() {
  auto self = shared_from_this();
  gate_.on_link(self);
  begun_ = true;
  for (auto& each : std::exchange(early_, {}))
    gate_.on_data(self, std::move(each));
  if (ended_)
    gate_.on_end(self, end_reason());
}

asio::awaitable<void> link_core::run(std::shared_ptr<link_core> self) {
  std::string reason;
  {
    deadline first{self->loop_, [link = self.get()] {
                     if (!link->control_)
                       link->close("the peer opened no control stream in time");
                   }};
    first.in(self->limits_.first_stream);
    reason = co_await self->mux_->run();
  }
  self->finish(reason);
}

void link_core::finish(const std::string& reason) {
  auto self = std::static_pointer_cast<link_core>(shared_from_this());
  waiter writer;
  {
    guard held{mutex_};
    reason_ = reason;
    ended_ = true;
    std::string{}.swap(queued_);
    writer = std::move(idle_writer_);
  }
  writer.resume(false);
  awaits_control_.resume(false);
  early_.clear();
  log(log_level::debug, "HARP-L002", "link", "node link ended",
      {{"peer", facts_.peer.to_string()}, {"cause", reason}, {"bytes", carrier_received_.load()}});
  if (on_ended_)
    std::exchange(on_ended_, nullptr)(self, reason);
  if (begun_)
    gate_.on_end(self, reason);
}

// -- streams of the peer ----------------------------------------------------------------------------

void link_core::incoming(stream_ptr opened) {
  if (!control_ && !facts_.dialled)
    set_control(std::move(opened));
  else if (begun_)
    gate_.on_data(shared_from_this(), std::move(opened));
  else
    early_.push_back(std::move(opened)); // the mux limits how many
}

void link_core::set_control(stream_ptr opened) {
  control_ = std::move(opened);
  if (!control_)
    return;
  awaits_control_.resume(true);
  launch(loop_.executor(), write_control(std::static_pointer_cast<link_core>(shared_from_this())),
         "node link control");
}

stream_ptr link_core::open_data() {
  return ended_ || !mux_ ? nullptr : mux_->open();
}

// -- control frames -----------------------------------------------------------------------------------

bool link_core::send_control(uint8_t type, uint8_t flags, std::string_view payload) {
  if (type == 0 || payload.size() > control_frame_bytes_max)
    return false;
  auto head = encode_peer_head({static_cast<uint32_t>(payload.size()), type, flags});
  waiter kick;
  {
    guard held{mutex_};
    size_t bytes = head.size() + payload.size();
    if (ended_ || queued_.size() + going_bytes_ + bytes > limits_.control_queue_bytes_max)
      return false;
    queued_.append(head.data(), head.size());
    queued_ += payload;
    kick = std::move(idle_writer_);
  }
  kick.resume(true);
  return true;
}

/// Moves what is queued into `into`, waiting for it. False when the link has ended.
asio::awaitable<bool> link_core::next_output(std::string& into) {
  into.clear();
  auto store = [this](waiter whom) {
    {
      guard held{mutex_};
      if (!ended_ && queued_.empty()) {
        idle_writer_ = std::move(whom);
        return;
      }
    }
    whom.resume(true);
  };
  {
    guard held{mutex_};
    going_bytes_ = 0;
    if (into.capacity() > link_idle_queue_bytes_max)
      std::string{}.swap(into);
  }
  co_await suspend(store);
  guard held{mutex_};
  into.swap(queued_);
  going_bytes_ = into.size();
  co_return !ended_;
}

asio::awaitable<void> link_core::write_control(std::shared_ptr<link_core> self) {
  std::string going;
  for (;;) {
    bool open = co_await self->next_output(going);
    if (!open)
      co_return;
    bool sent = co_await write_all(*self->control_, going);
    if (!sent)
      co_return self->close("the control stream failed: " + self->control_->failure());
    self->control_sent_.fetch_add(going.size(), std::memory_order_relaxed);
  }
}

asio::awaitable<bool> link_core::control_there() {
  if (control_ || ended_)
    co_return control_ != nullptr && !ended_;
  auto store = [this](waiter whom) { awaits_control_ = std::move(whom); };
  co_return co_await suspend(store);
}

asio::awaitable<std::optional<peer_frame>> link_core::next_frame() {
  auto self = shared_from_this();
  bool there = co_await control_there();
  if (!there)
    co_return std::nullopt;
  peer_frame frame;
  frame_status status = co_await read_frame(*control_, frame, control_frame_bytes_max);
  if (status == frame_status::ok) {
    control_received_.fetch_add(peer_head_bytes + frame.payload.size(), std::memory_order_relaxed);
    co_return frame;
  }
  if (status == frame_status::bad)
    close("the peer sent a control frame that is too long or has no type");
  else
    close("the peer ended the control stream");
  co_return std::nullopt;
}

// -- the rest -------------------------------------------------------------------------------------------

void link_core::close(std::string reason) {
  if (mux_)
    mux_->close(std::move(reason));
}

std::string link_core::end_reason() const {
  guard held{mutex_};
  return reason_;
}

link_counts link_core::counts() const {
  link_counts out;
  out.control_sent = control_sent_;
  out.control_received = control_received_;
  out.carrier_sent = carrier_sent_;
  out.carrier_received = carrier_received_;
  if (mux_) {
    size_t streams = mux_->stream_count();
    out.data_streams = streams == 0 ? 0 : streams - 1;
    out.unread_bytes = mux_->unread_bytes();
  }
  return out;
}

} // namespace harp::net
