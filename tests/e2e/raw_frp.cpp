// Frames and messages of raw_frp.
#include "tests/e2e/raw_frp.hpp"

namespace harp::e2e {

using namespace net;

frp::login usual_login(const std::string& token) {
  frp::login out;
  out.version = "0.61.1";
  out.timestamp = 1'700'000'000;
  out.metas["token"] = token;
  out.pool_count = 1;
  return out;
}

bool raw_frp::frame(mux_type type, uint16_t flags, uint32_t stream, uint32_t length,
                    std::string_view payload) {
  auto head = encode_mux_header({type, flags, stream, length});
  std::string bytes{head.data(), head.size()};
  bytes += payload;
  return send(bytes);
}

bool raw_frp::say(std::string framed) {
  if (writer_ && !writer_->seal(framed, 0))
    return false;
  return data(1, framed);
}

/// Sorts whole frames by stream. False: not the mux protocol.
bool raw_frp::take_frames() {
  while (in_.size() >= mux_header_bytes) {
    auto head = decode_mux_header(in_);
    if (!head)
      return false;
    size_t bytes = mux_header_bytes + (head->type == mux_type::data ? head->length : 0);
    if (in_.size() < bytes)
      return true;
    if (head->type == mux_type::ping && head->has(mux_flag::ack))
      ++pongs_;
    auto& state = streams_[head->stream];
    state.data.append(in_, mux_header_bytes, bytes - mux_header_bytes);
    state.credit += head->type == mux_type::window_update ? head->length : 0;
    state.acknowledged = state.acknowledged || head->has(mux_flag::ack);
    state.finished = state.finished || head->has(mux_flag::fin);
    state.reset = state.reset || head->has(mux_flag::rst);
    resets_ += head->has(mux_flag::rst) ? 1 : 0;
    in_.erase(0, bytes);
  }
  return true;
}

bool raw_frp::read_until(const std::function<bool()>& done, milliseconds limit) {
  const auto end = clock::now() + limit;
  while (!done()) {
    auto left = std::chrono::duration_cast<milliseconds>(end - clock::now());
    if (ended_ || left.count() <= 0)
      return false;
    auto got = channel_.receive(in_, std::min(left, 50ms));
    ended_ = got == heard::end || got == heard::reset || !take_frames();
  }
  return true;
}

bool raw_frp::ends(milliseconds limit) {
  read_until([] { return false; }, limit);
  return ended_;
}

std::optional<frp::message> raw_frp::hear(milliseconds limit) {
  std::optional<frp::message> out;
  read_until(
      [&] {
        auto& fresh = streams_[1].data;
        if (reader_ && !fresh.empty())
          fresh.resize(static_cast<size_t>(
              std::max<ptrdiff_t>(0, reader_->read(fresh.data(), fresh.size()))));
        control_ += std::exchange(fresh, {});
        if (control_.size() < frp::v1_header_bytes)
          return false;
        auto head = frp::v1_read_header(std::string_view{control_}.substr(0, frp::v1_header_bytes));
        if (control_.size() < frp::v1_header_bytes + head.length)
          return false;
        out = frp::v1_read_body(
                  head, std::string_view{control_}.substr(frp::v1_header_bytes, head.length))
                  .value;
        control_.erase(0, frp::v1_header_bytes + head.length);
        return true;
      },
      limit);
  return out;
}

std::optional<std::string> raw_frp::log_in(const std::string& token) {
  open_stream(1);
  say(usual_login(token));
  auto heard = hear();
  auto* answer = heard ? std::get_if<frp::login_resp>(&*heard) : nullptr;
  if (answer == nullptr || !answer->error.empty())
    return std::nullopt;
  const auto key = frp::derive_key("");
  reader_.emplace(key);
  writer_.emplace(key);
  if (!control_.empty()) // came along with the answer
    control_.resize(static_cast<size_t>(
        std::max<ptrdiff_t>(0, reader_->read(control_.data(), control_.size()))));
  return answer->run_id;
}

} // namespace harp::e2e
