// Reaching a node: all its addresses in a staggered race, the right key wins.
#include "net/dialer.hpp"
#include "net/log.hpp"
#include "net/node_endpoint.hpp"
#include "net/node_link_core.hpp"
#include "net/waiter.hpp"
#include "net/websocket_stream.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>

namespace harp::net {

namespace {

constexpr size_t words_bytes_max = 1024;

const char* words_of(dial_error error) {
  switch (error) {
  case dial_error::none:
    return "";
  case dial_error::unresolvable:
    return "the name is not known";
  case dial_error::refused:
    return "nobody listens there";
  case dial_error::timeout:
    return "no answer";
  case dial_error::failed:
    return "not reachable";
  }
  return "";
}

/// What one address led to.
struct raced {
  tls_result secured;
  node_address address;
};

} // namespace

/// Tries addresses until one shows a key that is taken. Shared by its attempts, which end by
/// themselves after it is over.
class dial_race : public std::enable_shared_from_this<dial_race> {
public:
  using key_taker = std::function<bool(const device_key&)>;
  dial_race(std::shared_ptr<node_endpoint> of, loop& on, std::shared_ptr<tls_context> context,
            key_taker takes)
      : of_(std::move(of)), on_(on), context_(std::move(context)), takes_(std::move(takes)),
        pause_(on.io()) {}

  /// The winner, or nothing; then error() and words() say why.
  static asio::awaitable<std::optional<raced>>
  run(std::shared_ptr<dial_race> self, std::vector<std::string> addresses, milliseconds limit);
  [[nodiscard]] link_error error() const { return error_; }
  [[nodiscard]] std::string words() const { return words_; }
  [[nodiscard]] const std::optional<device_key>& wrong_key() const { return wrong_key_; }

private:
  static asio::awaitable<void> start_all(std::shared_ptr<dial_race> self);
  static asio::awaitable<void> attempt(std::shared_ptr<dial_race> self, node_address to);
  asio::awaitable<stream_ptr> open_path(node_address to, std::string& wrong);
  void won(raced what);
  void lost(const node_address& to, const std::string& why);
  void finish();
  [[nodiscard]] milliseconds left() const {
    return std::max(std::chrono::duration_cast<milliseconds>(ends_at_ - clock::now()),
                    milliseconds{1});
  }

  std::shared_ptr<node_endpoint> of_;
  loop& on_;
  std::shared_ptr<tls_context> context_;
  key_taker takes_;
  asio::steady_timer pause_;
  std::vector<node_address> addresses_;
  clock::time_point ends_at_;
  size_t started_ = 0;
  size_t running_ = 0;
  bool over_ = false;
  std::optional<raced> winner_;
  waiter whom_;
  link_error error_ = link_error::unreachable;
  std::string words_;
  std::optional<device_key> wrong_key_;
};

asio::awaitable<std::optional<raced>> dial_race::run(std::shared_ptr<dial_race> self,
                                                     std::vector<std::string> addresses,
                                                     milliseconds limit) {
  for (const auto& text : addresses) {
    auto parsed = node_address::parse(text);
    bool known = parsed
                 && std::find(self->addresses_.begin(), self->addresses_.end(), *parsed)
                        != self->addresses_.end();
    if (parsed && !known && self->addresses_.size() < dial_addresses_max)
      self->addresses_.push_back(*parsed);
  }
  if (self->addresses_.empty()) {
    self->error_ = link_error::bad_address;
    self->words_ = "no usable address among " + std::to_string(addresses.size())
                   + "; they look like host:8784 or wss://host/harp";
    co_return std::nullopt;
  }
  self->ends_at_ = clock::now() + limit;
  deadline timer{self->on_, [race = self.get()] {
                   race->lost({}, "not all addresses answered in time");
                   race->finish();
                 }};
  timer.in(limit);
  launch(self->on_.executor(), start_all(self), "dial");
  auto store = [race = self.get()](waiter whom) { race->whom_ = std::move(whom); };
  co_await suspend(store);
  co_return std::move(self->winner_);
}

asio::awaitable<void> dial_race::start_all(std::shared_ptr<dial_race> self) {
  while (self->started_ < self->addresses_.size() && !self->over_) {
    node_address next = self->addresses_[self->started_++];
    ++self->running_;
    launch(self->on_.executor(), attempt(self, next), "dial attempt");
    if (self->started_ == self->addresses_.size())
      break;
    self->pause_.expires_after(dial_stagger);
    co_await self->pause_.async_wait(nothrow); // cut short when an attempt failed
  }
}

asio::awaitable<stream_ptr> dial_race::open_path(node_address to, std::string& wrong) {
  dialer connect{on_};
  milliseconds limit = std::min(left(), dial_connect_max);
  dial_result reached = co_await connect.tcp(to.host, to.port, limit);
  wrong = words_of(reached.error);
  if (!reached.stream || !to.websocket)
    co_return std::move(reached.stream);
  stream_ptr path = std::move(reached.stream);
  if (to.https) {
    tls_result outer = co_await tls_connect(on_, std::move(path), of_->https_, to.host, left());
    wrong = outer.error;
    if (!outer.stream)
      co_return nullptr;
    path = std::move(outer.stream);
  }
  bool v6 = to.host.find(':') != std::string::npos;
  std::string host = v6 ? "[" + to.host + "]" : to.host;
  bool usual_port = to.port == (to.https ? 443 : 80);
  if (!usual_port)
    host += ":" + std::to_string(to.port);
  ws_result upgraded = co_await websocket_connect(on_, std::move(path), host, to.path, left());
  wrong = upgraded.error;
  co_return std::move(upgraded.stream);
}

asio::awaitable<void> dial_race::attempt(std::shared_ptr<dial_race> self, node_address to) {
  std::string wrong;
  stream_ptr path = co_await self->open_path(to, wrong);
  raced out;
  out.address = to;
  if (path && !self->over_) {
    auto judge = [race = self.get()](std::string_view key, std::string_view) {
      auto device = device_key::from_view(key);
      return device && !race->over_ && race->takes_(*device);
    };
    out.secured = co_await tls_connect(self->on_, std::move(path), self->context_, std::move(judge),
                                       self->left());
    wrong = out.secured.error;
    if (!out.secured.stream && !out.secured.peer_key.empty()) {
      self->wrong_key_ = device_key::from_view(out.secured.peer_key);
      self->error_ = link_error::wrong_key;
      wrong = "another node answers there, with the key " + fingerprint_text(*self->wrong_key_);
    }
  }
  --self->running_;
  if (out.secured.stream)
    self->won(std::move(out));
  else
    self->lost(to, wrong);
}

void dial_race::won(raced what) {
  if (!over_)
    winner_ = std::move(what);
  finish();
}

void dial_race::lost(const node_address& to, const std::string& why) {
  if (over_)
    return;
  std::string line = to.host.empty() ? why : to.to_string() + ": " + why;
  if (words_.size() + line.size() < words_bytes_max)
    words_ += (words_.empty() ? "" : "; ") + line;
  pause_.cancel();
  if (running_ == 0 && started_ == addresses_.size())
    finish();
}

void dial_race::finish() {
  over_ = true;
  pause_.cancel();
  whom_.resume(true);
}

// -- links ------------------------------------------------------------------------------------------------

/// From an admitted TLS stream to a link that the peer has confirmed.
asio::awaitable<dial_outcome> node_endpoint::finish_dial(loop& on, tls_result secured,
                                                         link_facts facts) {
  auto self = shared_from_this();
  dial_outcome out;
  facts.dialled = true;
  facts.peer = *device_key::from_view(secured.peer_key);
  auto link = start_link(on, std::move(secured.stream), facts, out);
  if (!link)
    co_return out;
  bool confirmed = co_await link->confirm(limits_.handshake);
  if (!confirmed) {
    link->close("the peer does not answer");
    out.error = link_error::refused;
    std::string reason = link->end_reason();
    out.words = "the node " + fingerprint_text(facts.peer)
                + " does not take this device: it is not in its roster (yet), or has too many "
                  "links; it is tried again"
                + (reason.empty() ? "" : " (" + reason + ")");
    co_return out;
  }
  if (!gate_.admits(facts.peer)) {
    link->close("the peer is no longer a member");
    out.error = link_error::not_admitted;
    out.words = "the node is no longer a member of this cluster";
    co_return out;
  }
  ++counts_.dialled;
  link->begin();
  out.link = link;
  co_return out;
}

asio::awaitable<dial_outcome> node_endpoint::dial(loop& on, std::vector<std::string> addresses,
                                                  device_key peer) {
  auto self = shared_from_this();
  dial_outcome out;
  if (!gate_.admits(peer)) {
    out.error = link_error::not_admitted;
    out.words = "the node is not a member of this cluster";
    co_return out;
  }
  auto takes = [peer](const device_key& key) { return key == peer; };
  auto race = std::make_shared<dial_race>(self, on, client_tls_, std::move(takes));
  auto won = co_await dial_race::run(race, std::move(addresses), limits_.handshake);
  if (!won) {
    out.error = race->error();
    out.words = race->words();
    co_return out;
  }
  link_facts facts;
  facts.remote = ip_address::parse(won->address.host).value_or(ip_address{});
  facts.remote_port = won->address.port;
  facts.path = won->address.websocket ? link_path::websocket : link_path::tcp;
  out = co_await finish_dial(on, std::move(won->secured), facts);
  out.address = won->address.to_string();
  co_return out;
}

asio::awaitable<dial_outcome> node_endpoint::dial_relayed(loop& on, stream_ptr over,
                                                          device_key peer) {
  auto self = shared_from_this();
  dial_outcome out;
  auto judge = [self, peer](std::string_view key, std::string_view) {
    return key == peer.view() && self->gate_.admits(peer);
  };
  tls_result secured
      = co_await tls_connect(on, std::move(over), client_tls_, std::move(judge), limits_.handshake);
  if (!secured.stream) {
    out.error = secured.peer_key.empty() ? link_error::failed : link_error::wrong_key;
    out.words = "no link through the keeper: " + secured.error;
    co_return out;
  }
  link_facts facts;
  facts.path = link_path::relayed;
  out = co_await finish_dial(on, std::move(secured), facts);
  co_return out;
}

// -- enrolment --------------------------------------------------------------------------------------------

asio::awaitable<enrol_outcome>
node_endpoint::enrol(loop& on, std::vector<std::string> addresses,
                     std::function<bool(const device_key&)> is_governor, std::string payload) {
  auto self = shared_from_this();
  enrol_outcome out;
  if (payload.size() > enrol_frame_bytes_max) {
    out.error = link_error::failed;
    out.words = "the enrolment is too long";
    co_return out;
  }
  auto race = std::make_shared<dial_race>(self, on, join_tls_, std::move(is_governor));
  auto won = co_await dial_race::run(race, std::move(addresses), limits_.handshake);
  if (!won) {
    out.error = race->error();
    out.words = race->words();
    out.governor = race->wrong_key().value_or(device_key{});
    co_return out;
  }
  out.governor = *device_key::from_view(won->secured.peer_key);
  stream_ptr stream = std::move(won->secured.stream);
  deadline limit{on, [&stream] { stream->cancel(); }};
  limit.in(limits_.enrol_answer);
  peer_frame frame;
  frame_status status = frame_status::failed;
  bool sent = co_await write_frame(*stream, enrol_frame_type, 0, payload);
  if (sent)
    status = co_await read_frame(*stream, frame, control_frame_bytes_max);
  bool answered = status == frame_status::ok && frame.type == enrol_frame_type && frame.is_answer();
  if (answered) {
    out.answer = frame.view();
  } else {
    out.error = link_error::refused;
    out.words = "the governor at " + won->address.to_string()
                + " gave no answer to the invite; is it spent, expired or revoked? Ask for a new "
                  "one, or try again";
  }
  co_return out;
}

} // namespace harp::net
