// An frp client in the tests' own hands: it says over one connection whatever it is told, right or wrong.
#pragma once

#include "net/frp_codec.hpp"
#include "net/frp_crypto.hpp"
#include "net/mux_codec.hpp"
#include "tests/e2e/channel.hpp"

#include <map>
#include <optional>

namespace harp::e2e {

/// A mux session in clear with its control conversation on stream 1; frames are built from their fields, true or not.
class raw_frp {
public:
  explicit raw_frp(const std::string& server, const std::string& from = {})
      : channel_(channel::connect(server, 5s, from)) {}

  /// What came for one stream.
  struct stream_state {
    std::string data;
    uint64_t credit = 0; // beyond the first window
    bool acknowledged = false, finished = false, reset = false;
  };

  bool send(std::string_view bytes) { return channel_.send(bytes, 2s); }
  /// `length` is the header's; the payload follows as it is.
  bool frame(net::mux_type type, uint16_t flags, uint32_t stream, uint32_t length,
             std::string_view payload = {});
  bool open_stream(uint32_t stream) {
    return frame(net::mux_type::window_update, net::mux_flag::syn, stream, 0);
  }
  bool data(uint32_t stream, std::string_view payload) {
    return frame(net::mux_type::data, 0, stream, static_cast<uint32_t>(payload.size()), payload);
  }
  /// A v1 message on stream 1, enciphered after the login.
  bool say(std::string framed);
  bool say(const net::frp::message& what) { return say(net::frp::v1_frame(what)); }
  /// Logs in with `token`; the run id, or nothing when refused.
  std::optional<std::string> log_in(const std::string& token);
  /// The next message on the control stream.
  std::optional<net::frp::message> hear(milliseconds limit = 5s);
  /// Reads until `done`, the end of the connection or `limit`; pings are not answered.
  bool read_until(const std::function<bool()>& done, milliseconds limit = 5s);
  /// The node ends the connection.
  bool ends(milliseconds limit = 5s);

  const stream_state& stream(uint32_t id) { return streams_[id]; }
  [[nodiscard]] size_t resets() const { return resets_; }
  [[nodiscard]] size_t pongs() const { return pongs_; }
  channel& raw() { return channel_; }

private:
  bool take_frames();

  channel channel_;
  std::string in_;
  std::map<uint32_t, stream_state> streams_;
  std::optional<net::frp::cfb_reader> reader_;
  std::optional<net::frp::cfb_writer> writer_;
  std::string control_; // plain bytes that are no whole message yet
  size_t resets_ = 0, pongs_ = 0;
  bool ended_ = false;
};

/// The Login that HaRP's clients send.
net::frp::login usual_login(const std::string& token);

} // namespace harp::e2e
