// The door for node links: what a connection must show before anything of it is parsed.
#include "net/log.hpp"
#include "net/node_endpoint.hpp"
#include "net/node_link_core.hpp"
#include "net/socket_stream.hpp"
#include "net/websocket_stream.hpp"

#include <sys/socket.h>

namespace harp::net {

namespace {

constexpr char tls_client_hello = 0x16; // a TLS handshake record
constexpr char http_get = 'G';

/// The first byte of a connection, left in place; zero when none came in time.
asio::awaitable<char> peek_first(loop& on, generic_socket& from, milliseconds limit) {
  deadline timer{on, [&from] {
                   error_code ignored;
                   from.cancel(ignored);
                 }};
  timer.in(limit);
  for (;;) {
    char first = 0;
    ssize_t got = ::recv(from.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got == 1)
      co_return first;
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
      co_return 0;
    auto [error] = co_await from.async_wait(asio::socket_base::wait_read, nothrow);
    if (error)
      co_return 0;
  }
}

} // namespace

/// One accepted connection until it is a link, an enrolment or gone.
class node_door {
public:
  node_door(std::shared_ptr<node_endpoint> of, loop& on, ip_address peer, uint16_t port,
            std::unique_ptr<node_endpoint::half_open> place)
      : of_(std::move(of)), on_(on), peer_(peer), port_(port), place_(std::move(place)) {}

  static asio::awaitable<void> serve(std::shared_ptr<node_endpoint> of, loop& on,
                                     generic_socket socket, ip_address peer, uint16_t port);
  /// TLS and admission over a connection or a keeper's stream.
  asio::awaitable<dial_outcome> admit(stream_ptr raw, link_path path, bool joiners_too,
                                      std::optional<device_key> expected);

private:
  asio::awaitable<stream_ptr> open_path(generic_socket socket, link_path& path);
  asio::awaitable<void> enrol(stream_ptr joiner, device_key key);
  asio::awaitable<std::string> ask_gate(stream& joiner, device_key key);
  [[nodiscard]] milliseconds left() const {
    auto spent = clock::now() - began_;
    auto rest = std::chrono::duration_cast<milliseconds>(of_->limits_.handshake - spent);
    return std::max(rest, milliseconds{1});
  }
  void log_refusal(std::string_view cause) const {
    log(log_level::debug, "HARP-L001", "link", "node connection refused",
        {{"client", peer_.to_string()}, {"cause", cause}});
  }

  std::shared_ptr<node_endpoint> of_;
  loop& on_;
  const ip_address peer_;
  const uint16_t port_;
  const clock::time_point began_ = clock::now();
  std::unique_ptr<node_endpoint::half_open> place_;
};

asio::awaitable<void> node_door::serve(std::shared_ptr<node_endpoint> of, loop& on,
                                       generic_socket socket, ip_address peer, uint16_t port) {
  node_door door{of, on, peer, port, of->enter(peer, socket.native_handle())};
  if (!door.place_) {
    ++of->counts_.shed;
    co_return door.log_refusal("too many handshakes at once");
  }
  link_path path = link_path::tcp;
  stream_ptr raw = co_await door.open_path(std::move(socket), path);
  if (!raw) {
    ++of->counts_.bad_handshake;
    co_return;
  }
  co_await door.admit(std::move(raw), path, true, std::nullopt);
}

asio::awaitable<stream_ptr> node_door::open_path(generic_socket socket, link_path& path) {
  char first = co_await peek_first(on_, socket, left());
  if (first != tls_client_hello && first != http_get) {
    log_refusal(first == 0 ? "silent" : "neither TLS nor a WebSocket");
    co_return nullptr;
  }
  stream_ptr raw = make_socket_stream(std::move(socket));
  if (first == tls_client_hello)
    co_return raw;
  path = link_path::websocket;
  ws_result upgraded
      = co_await websocket_accept(on_, std::move(raw), std::string{node_path}, left());
  if (!upgraded.stream)
    log_refusal(upgraded.error);
  co_return std::move(upgraded.stream);
}

asio::awaitable<dial_outcome> node_door::admit(stream_ptr raw, link_path path, bool joiners_too,
                                               std::optional<device_key> expected) {
  dial_outcome out;
  auto judge = [this, joiners_too, expected](std::string_view key, std::string_view alpn) {
    auto device = device_key::from_view(key);
    if (alpn == join_alpn)
      return joiners_too;
    return device && (!expected || *expected == *device) && of_->gate_.admits(*device);
  };
  tls_result secured
      = co_await tls_accept(on_, std::move(raw), of_->server_tls_, std::move(judge), left());
  if (!secured.stream) {
    bool unknown = !secured.peer_key.empty();
    ++(unknown ? of_->counts_.unknown_key : of_->counts_.bad_handshake);
    out.error = unknown ? link_error::not_admitted : link_error::failed;
    out.words = unknown ? "the device is not a member of this cluster" : secured.error;
    log_refusal(out.words);
    co_return out;
  }
  link_facts facts;
  facts.peer = *device_key::from_view(secured.peer_key);
  facts.remote = peer_;
  facts.remote_port = port_;
  facts.path = path;
  place_.reset();
  if (secured.alpn == join_alpn) {
    co_await enrol(std::move(secured.stream), facts.peer);
    co_return out;
  }
  auto link = of_->start_link(on_, std::move(secured.stream), facts, out);
  if (!link) {
    ++of_->counts_.shed;
    log_refusal(out.words);
    co_return out;
  }
  ++of_->counts_.accepted;
  link->begin();
  out.link = link;
  co_return out;
}

// -- enrolment --------------------------------------------------------------------------------------------

asio::awaitable<std::string> node_door::ask_gate(stream& joiner, device_key key) {
  peer_frame frame;
  {
    deadline limit{on_, [&joiner] { joiner.cancel(); }};
    limit.in(of_->limits_.enrol);
    frame_status status = co_await read_frame(joiner, frame, enrol_frame_bytes_max);
    if (status != frame_status::ok || frame.type != enrol_frame_type || frame.is_answer())
      co_return "";
  }
  ++of_->counts_.joins;
  std::string payload{frame.view()};
  co_return co_await of_->gate_.enrol(key, std::move(payload), peer_);
}

asio::awaitable<void> node_door::enrol(stream_ptr joiner, device_key key) {
  auto place = of_->enter_joiner();
  std::string answer;
  if (place)
    answer = co_await ask_gate(*joiner, key);
  if (answer.empty() || answer.size() > control_frame_bytes_max) {
    ++of_->counts_.joins_refused;
    co_return log_refusal(place ? "no enrolment, or not answered" : "too many joiners at once");
  }
  deadline limit{on_, [&joiner] { joiner->cancel(); }};
  limit.in(of_->limits_.enrol);
  bool sent = co_await write_frame(*joiner, enrol_frame_type, peer_flag::answer, answer);
  if (!sent)
    co_return;
  joiner->shutdown_write();
  co_await joiner->wait_writable();
  // Closing with unread bytes would be a reset that may overtake the answer. More than an end is
  // not expected, and not looked at.
  std::array<char, 1> end;
  co_await read_some(*joiner, end);
}

// -- the endpoint's part ------------------------------------------------------------------------------------

std::string node_endpoint::listen(const std::string& host, uint16_t port) {
  auto opened = listener::open(loops_, host, port, host != "::");
  if (auto* wrong = std::get_if<std::string>(&opened))
    return *wrong;
  auto door = std::get<std::shared_ptr<listener>>(opened);
  {
    std::lock_guard held{mutex_};
    if (stopped_)
      return "node links are stopped";
    listeners_.push_back(door);
  }
  auto handler = [self = weak_from_this()](loop& on, generic_socket socket, ip_address peer,
                                           uint16_t from) -> asio::awaitable<void> {
    return serve_weak(self, on, std::move(socket), peer, from);
  };
  door->start(std::move(handler), slots_, "node links");
  return {};
}

asio::awaitable<void> node_endpoint::serve_weak(std::weak_ptr<node_endpoint> of, loop& on,
                                                generic_socket socket, ip_address peer,
                                                uint16_t port) {
  auto self = of.lock();
  if (self)
    co_await node_door::serve(self, on, std::move(socket), peer, port);
}

std::vector<std::string> node_endpoint::listening() const {
  std::lock_guard held{mutex_};
  std::vector<std::string> out;
  for (const auto& each : listeners_)
    out.push_back(each->address());
  return out;
}

std::shared_ptr<void> node_endpoint::enter_joiner() {
  std::lock_guard held{mutex_};
  if (stopped_ || joiners_ >= limits_.joiners_max)
    return nullptr;
  ++joiners_;
  return {this, [self = shared_from_this()](void*) {
            std::lock_guard again{self->mutex_};
            --self->joiners_;
          }};
}

asio::awaitable<dial_outcome> node_endpoint::accept_relayed(loop& on, stream_ptr over,
                                                            std::optional<device_key> expected) {
  auto self = shared_from_this();
  dial_outcome out;
  auto place = enter(std::nullopt, -1);
  if (!place || !over) {
    out.error = link_error::busy;
    out.words = "too many handshakes at once";
    co_return out;
  }
  node_door door{self, on, ip_address{}, 0, std::move(place)};
  out = co_await door.admit(std::move(over), link_path::relayed, false, expected);
  co_return out;
}

} // namespace harp::net
