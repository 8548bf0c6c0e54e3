// What all node links of this node share: keys, contexts, the table of links, who is still welcome.
#include "net/node_endpoint.hpp"

#include "net/log.hpp"
#include "net/node_link_core.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace harp::net {

namespace {

using guard = std::lock_guard<std::mutex>;

std::string context_into(std::shared_ptr<tls_context>& to,
                         std::variant<std::shared_ptr<tls_context>, std::string> made) {
  if (auto* wrong = std::get_if<std::string>(&made))
    return *wrong;
  to = std::get<std::shared_ptr<tls_context>>(std::move(made));
  return {};
}

} // namespace

node_endpoint::node_endpoint(runtime& loops, node_gate& gate, node_identity_ptr self,
                             node_identity_ptr governor, node_limits limits)
    : loops_(loops), gate_(gate), self_(std::move(self)), governor_(std::move(governor)),
      limits_(limits),
      slots_(std::make_shared<connection_slots>(limits.half_open_max + shed_at_once_max)) {}

node_endpoint::~node_endpoint() {
  stop("stopped");
}

std::variant<std::shared_ptr<node_endpoint>, std::string>
node_endpoint::make(runtime& loops, node_gate& gate, node_identity_ptr self,
                    node_identity_ptr governor, node_limits limits) {
  if (!self)
    return "a node needs a key";
  std::shared_ptr<node_endpoint> out{
      new node_endpoint{loops, gate, std::move(self), std::move(governor), limits}};
  std::string wrong = out->make_contexts();
  if (!wrong.empty())
    return wrong;
  return out;
}

std::string node_endpoint::make_contexts() {
  std::vector<tls_key_row> link_row{{std::string{node_alpn}, self_}};
  std::vector<tls_key_row> join_row{{std::string{join_alpn}, self_}};
  std::vector<tls_key_row> server_rows = link_row;
  if (governor_)
    server_rows.push_back({std::string{join_alpn}, governor_});
  // The TLS of a proxy in between hides us from the network, and proves nothing to us: what counts
  // is inside. So a home-made certificate there is no hindrance.
  tls_settings outer;
  outer.verify_peer = false;
  std::string wrong = context_into(server_tls_, tls_context::server(std::move(server_rows)));
  if (wrong.empty())
    wrong = context_into(client_tls_, tls_context::client(std::move(link_row)));
  if (wrong.empty())
    wrong = context_into(join_tls_, tls_context::client(std::move(join_row)));
  if (wrong.empty())
    wrong = context_into(https_, tls_context::client(outer));
  return wrong;
}

// -- the table of links -------------------------------------------------------------------------------

/// Counts one more link with `facts.peer` and numbers it; words when there is no place.
std::string node_endpoint::reserve(link_facts& facts) {
  guard held{mutex_};
  if (stopped_)
    return "node links are stopped";
  if (links_.size() >= limits_.links_max)
    return "all " + std::to_string(limits_.links_max) + " places for node links are taken";
  auto known = links_of_peer_.find(facts.peer);
  if (known != links_of_peer_.end() && known->second >= limits_.links_per_peer_max)
    return "there are " + std::to_string(known->second) + " links with this node already";
  facts.id = next_id_++;
  ++links_of_peer_[facts.peer];
  return {};
}

/// Null when there is no place; `out` says why.
std::shared_ptr<link_core> node_endpoint::start_link(loop& on, stream_ptr secured, link_facts facts,
                                                     dial_outcome& out) {
  out.words = reserve(facts);
  if (!out.words.empty()) {
    out.error = link_error::busy;
    return nullptr;
  }
  auto on_ended
      = [weak = weak_from_this()](const std::shared_ptr<link_core>& link, const std::string&) {
          if (auto self = weak.lock())
            self->forget(link->facts());
        };
  auto link = std::make_shared<link_core>(on, facts, limits_, gate_, std::move(on_ended));
  link->start(std::move(secured));
  bool stopped = false;
  {
    guard held{mutex_};
    links_.emplace(facts.id, link); // only now: whoever finds it may use it
    stopped = stopped_;
  }
  if (!link->is_open())
    forget(facts); // ended before it could be found
  else if (stopped)
    link->close("node links are stopped");
  return link;
}

void node_endpoint::forget(const link_facts& link) {
  node_link_ptr last; // destroyed without the mutex
  guard held{mutex_};
  auto found = links_.find(link.id);
  if (found == links_.end())
    return;
  last = std::move(found->second);
  links_.erase(found);
  auto of_peer = links_of_peer_.find(link.peer);
  if (--of_peer->second == 0)
    links_of_peer_.erase(of_peer);
}

std::vector<node_link_ptr> node_endpoint::links() const {
  guard held{mutex_};
  std::vector<node_link_ptr> out;
  for (const auto& [id, link] : links_)
    out.push_back(link);
  return out;
}

std::vector<node_link_ptr> node_endpoint::links_of(const device_key& peer) const {
  auto out = links();
  std::erase_if(out, [&peer](const node_link_ptr& each) { return each->peer() != peer; });
  return out;
}

size_t node_endpoint::recheck_members() {
  size_t closed = 0;
  for (const auto& each : links()) {
    if (gate_.admits(each->peer()))
      continue;
    each->close("the peer is no longer a member");
    ++closed;
  }
  return closed;
}

void node_endpoint::stop(std::string reason) {
  std::vector<std::shared_ptr<listener>> doors;
  {
    guard held{mutex_};
    stopped_ = true;
    doors.swap(listeners_);
    for (half_open* each : half_open_)
      each->end();
  }
  for (const auto& each : doors)
    each->stop();
  for (const auto& each : links())
    each->close(reason);
}

// -- half-open connections ------------------------------------------------------------------------------

node_endpoint::half_open::half_open(std::shared_ptr<node_endpoint> of,
                                    std::optional<ip_address> key, int socket)
    : of_(std::move(of)), key_(key), socket_(socket < 0 ? -1 : ::fcntl(socket, F_DUPFD_CLOEXEC, 0)),
      row_(of_->half_open_.insert(of_->half_open_.end(), this)) {}

void node_endpoint::half_open::end() const {
  if (socket_ >= 0)
    ::shutdown(socket_, SHUT_RDWR); // its coroutine sees an end, wherever it waits
}

node_endpoint::half_open::~half_open() {
  {
    guard held{of_->mutex_};
    if (!evicted_)
      of_->half_open_.erase(row_);
    auto found = key_ ? of_->half_open_of_.find(*key_) : of_->half_open_of_.end();
    if (found != of_->half_open_of_.end() && --found->second == 0)
      of_->half_open_of_.erase(found);
  }
  if (socket_ >= 0)
    ::close(socket_);
}

size_t node_endpoint::half_open_count() const {
  guard held{mutex_};
  return half_open_.size();
}

void node_endpoint::evict_oldest() {
  half_open* oldest = half_open_.front();
  half_open_.pop_front();
  oldest->evicted_ = true;
  ++counts_.shed;
  oldest->end();
}

std::unique_ptr<node_endpoint::half_open>
node_endpoint::enter(const std::optional<ip_address>& from, int socket) {
  std::optional<ip_address> key;
  if (from)
    key = from->ban_key();
  guard held{mutex_};
  if (stopped_)
    return nullptr;
  if (key) {
    auto& of_address = half_open_of_[*key];
    if (of_address >= limits_.half_open_per_address_max)
      return nullptr;
    ++of_address;
  }
  if (half_open_.size() >= limits_.half_open_max)
    evict_oldest();
  return std::make_unique<half_open>(shared_from_this(), key, socket);
}

// -- through a keeper -----------------------------------------------------------------------------------

asio::awaitable<relay_end> splice(loop& on, stream_ptr a, stream_ptr b, relay_options options) {
  relay_end end = co_await relay(on, *a, *b, options);
  co_return end;
}

} // namespace harp::net
