// Links between nodes: the words that net/ and the rest of Harp have for them. Made by
// node_endpoint (node_endpoint.hpp); decided about by a node_gate, which actors/bridge_* fulfil.
#pragma once

#include "net/peer_frame.hpp"
#include "net/runtime.hpp"
#include "net/stream.hpp"
#include "storage/types.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace harp::net {

inline constexpr unsigned link_opens_per_second_max
    = 20'000; // data streams by the peer; above: RST
inline constexpr size_t link_idle_queue_bytes_max = 64 * 1024; // memory kept for control frames

/// How a link's bytes travel.
enum class link_path : uint8_t { tcp, websocket, relayed };
std::string_view to_string(link_path path);

/// What does not change in a link's life.
struct link_facts {
  uint64_t id = 0; // unique in this process, never reused: what actors name the link by
  device_key peer;
  ip_address remote; // unspecified when relayed; of the proxy when it came through one
  uint16_t remote_port = 0;
  bool dialled = false; // by us
  link_path path = link_path::tcp;
};

/// Bytes of frames and streams, without TLS and mux.
struct link_counts {
  uint64_t control_sent = 0;
  uint64_t control_received = 0;
  uint64_t carrier_sent = 0; // all, as given to TLS
  uint64_t carrier_received = 0;
  size_t data_streams = 0; // open now
  size_t unread_bytes = 0; // received, not yet read
};

struct node_limits {
  size_t half_open_max = 256;            // handshakes at a time, joiners included
  size_t half_open_per_address_max = 16; // per IPv4 address or IPv6 /64
  std::chrono::seconds handshake{10};    // first byte to admission; the same for a dial
  size_t links_per_peer_max = 5;
  size_t links_max = 4096;
  size_t joiners_max = 64;               // enrolments at a time
  std::chrono::seconds enrol{10};        // for the joiner's frame, and again for sending the answer
  std::chrono::seconds enrol_answer{30}; // what a joiner waits for the governor
  size_t data_streams_max = 1024;        // per link, both directions together
  size_t control_queue_bytes_max = 4u << 20; // waiting for stream 1, per link
  size_t window_bytes_max = 64u << 20; // per data stream, reached only by those read at full speed
  size_t unread_bytes_max = 64u << 20; // per link, received and not yet read
  std::chrono::seconds first_stream{10}; // the dialler must open stream 1 within this
};

/// A TLS 1.3 connection to a member with streams inside (storage.md 10, 11). Stream 1, opened by
/// the dialler, carries control frames; every other stream is a request. Thread-safe unless it says
/// otherwise; what happens, happens on the thread of home(). Lives while somebody holds it; ends
/// only by close(), the peer, the network, or node_endpoint::stop().
class node_link : public std::enable_shared_from_this<node_link> {
public:
  node_link() = default;
  node_link(const node_link&) = delete;
  node_link& operator=(const node_link&) = delete;
  virtual ~node_link() = default;

  [[nodiscard]] virtual const link_facts& facts() const = 0;
  [[nodiscard]] virtual loop& home() const = 0;
  [[nodiscard]] const device_key& peer() const { return facts().peer; }

  /// Queues a control frame; sent in order. False, and nothing queued: the link has ended, the
  /// queue is full (the peer does not read) or the payload is over control_frame_bytes_max.
  virtual bool send_control(uint8_t type, uint8_t flags, std::string_view payload) = 0;
  /// The next control frame; nothing when the link has ended. On the thread of home(), one caller
  /// at a time. Who does not ask holds the peer back: at most 256 KiB wait in its stream.
  virtual asio::awaitable<std::optional<peer_frame>> next_frame() = 0;

  /// A stream for one request; null when the link has ended or data_streams_max is reached. Usable
  /// at once, from any one thread. FIN (shutdown_write) ends the request, close(true) cancels it.
  virtual stream_ptr open_data() = 0;

  /// Ends the link and all its streams now; `reason` is told to node_gate::on_end and in the log.
  virtual void close(std::string reason) = 0;
  [[nodiscard]] virtual bool is_open() const = 0;
  /// Why it ended; empty while it is open.
  [[nodiscard]] virtual std::string end_reason() const = 0;
  [[nodiscard]] virtual link_counts counts() const = 0;

  /// Round trip, smoothed as in RFC 6298 from what the caller's Ping frames measured; zero before
  /// the first. Kept here because swarm, peer and console all want it.
  void note_round_trip(std::chrono::microseconds sample);
  [[nodiscard]] std::chrono::microseconds srtt() const {
    return std::chrono::microseconds{srtt_us_.load(std::memory_order_relaxed)};
  }

private:
  std::atomic<int64_t> srtt_us_{0};
};

using node_link_ptr = std::shared_ptr<node_link>;

/// What net/ needs decided about node links. Called on the threads of loops, from several at once.
class node_gate {
public:
  virtual ~node_gate() = default;
  /// Is this device a member of the cluster now? Asked inside the handshake, before a byte of its
  /// streams is read: from an immutable snapshot, without waiting.
  virtual bool admits(const device_key& device) = 0;
  /// A link is up, dialled or accepted. Start a coroutine on link->home() that loops over
  /// next_frame(); returning from here lets on_data() begin.
  virtual void on_link(node_link_ptr link) = 0;
  /// The peer opened a data stream. Called on home(); keep it short, give the stream to a coroutine
  /// or another thread. Destroying it ends it, close(true) refuses it.
  virtual void on_data(node_link_ptr link, stream_ptr stream) = 0;
  /// The link has ended, once for each on_link().
  virtual void on_end(node_link_ptr link, std::string reason) = 0;
  /// Governor only: one Enrol payload of an unknown device that proved its key; the answer is the
  /// EnrolAck payload (control_frame_bytes_max), refusals included. Empty: close without a word.
  virtual asio::awaitable<std::string> enrol(device_key joiner, std::string payload,
                                             ip_address from)
      = 0;
};

// -- frames in data streams ------------------------------------------------------------------------

enum class frame_status : uint8_t {
  ok,
  end,    // FIN between two frames: the request is over
  cut,    // FIN inside a frame
  bad,    // too long or type 0: reset the stream
  failed, // reset by the peer, cancelled, or the link ended
};

/// Reads the next frame into `into`, whose memory is reused; straight from the stream, one copy.
/// Bytes behind the frame stay in the stream.
asio::awaitable<frame_status> read_frame(stream& from, peer_frame& into,
                                         size_t payload_bytes_max = data_frame_bytes_max);
/// Writes one frame with the payload `head` + `body`; `body` is not copied here and must live until
/// the answer. False when the stream failed or the payload is over data_frame_bytes_max. `head` of
/// up to 1 KiB travels with the frame's own head.
asio::awaitable<bool> write_frame(stream& to, uint8_t type, uint8_t flags, std::string_view head,
                                  std::string_view body = {});

} // namespace harp::net
