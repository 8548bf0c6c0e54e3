// A swarm of real pickers and serve queues on virtual time: fluid links (max-min fair), delays, members that misbehave.
#pragma once

#include "storage/picker.hpp"
#include "storage/serve_queue.hpp"

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace harp::test {

/// What a node does wrong.
enum class habit { honest, says_has_answers_missing, says_has_is_silent, wrong_bytes, endless };

/// A content that exists in the world: its chunks.
struct world_content {
  content_id cid;
  uint64_t size = 0;
  std::vector<chunk_ref> chunks;
  content_shape shape;
  [[nodiscard]] uint32_t segment_first(uint32_t index) const;
};

/// Chunks of about `mean` bytes, ids from the seed; contents of at most 8 chunks are flat.
world_content make_content(std::mt19937_64& random, uint64_t size, uint32_t mean);

struct world_node {
  replica_id rid = 0;
  double up = 0, down = 0; // bytes per second
  habit does = habit::honest;
  bool alive = true;
  bool keeper = false;
  std::unique_ptr<picker> picks;
  serve_queue serves;
  std::map<content_id, chunk_set> has;
  std::set<content_id> wants;
  uint64_t received_bytes = 0; // every byte that came over its link
  std::set<replica_id> banned;
  double done_ms = -1; // when it last finished all it wanted
  std::set<double> wakes;
};

class swarm_world {
public:
  explicit swarm_world(uint64_t seed) : random(seed) {}

  replica_id add_node(double up, double down, habit does = habit::honest, bool keeper = false);
  void add_content(const world_content& content) { contents_[content.cid] = content; }
  /// The node has all of it and is its author.
  void seed(replica_id node, const content_id& cid);
  void want(replica_id node, const content_id& cid, replica_id author,
            transfer_class cls = transfer_class::normal, bool inline_root = true);
  /// All alive pairs connect.
  void connect_all();
  void connect(replica_id a, replica_id b);
  void leave(replica_id node);
  void at(double ms, std::function<void()> what);
  /// Runs until all alive honest nodes have what they want, or `limit_ms`. Returns the moment.
  double run(double limit_ms);
  [[nodiscard]] bool all_done() const;
  [[nodiscard]] world_node& node(replica_id rid) { return nodes_.at(rid); }
  [[nodiscard]] double now_ms() const { return now_; }
  [[nodiscard]] uint64_t trace() const { return trace_; }
  [[nodiscard]] uint64_t twice_asked() const { return twice_asked_; }
  std::function<void(replica_id, const fetch_effect&)> watch;

  std::mt19937_64 random;
  std::function<double(replica_id, replica_id)> rtt_ms
      = [](replica_id, replica_id) { return 10.0; };
  std::function<peer_reach(replica_id, replica_id)> reach
      = [](replica_id, replica_id) { return peer_reach::direct; };

private:
  struct event {
    double at;
    uint64_t order;
    std::function<void()> what;
    bool operator<(const event& other) const {
      return std::pair(at, order) > std::pair(other.at, other.order);
    }
  };
  struct flow { // what one node sends another, one item after the other
    std::vector<serve_item> items;
    double left = 0; // of the first
    double told = 0; // bytes of it reported as progress
    double rate = 0;
  };
  using pair_of = std::pair<replica_id, replica_id>;

  [[nodiscard]] uint64_t ms() const { return static_cast<uint64_t>(now_); }
  void step(replica_id rid);
  void apply(world_node& who, const fetch_effect& effect);
  void asked(world_node& server, replica_id from, const fetch_request& request);
  void cancelled(world_node& server, replica_id from, const fetch_cancel& cancel);
  void pump(world_node& server);
  void tell(replica_id to, double delay, std::function<void(world_node&)> what);
  void introduce(world_node& who, replica_id to);
  void deliver(const serve_item& item, replica_id from);
  void set_rates();
  void advance(double to);
  void progress();
  void mix(uint64_t value);

  std::map<replica_id, world_node> nodes_;
  std::map<content_id, world_content> contents_;
  std::map<pair_of, flow> flows_;
  std::set<pair_of> links_;
  std::priority_queue<event> events_;
  std::set<std::tuple<replica_id, replica_id, content_id, int, uint32_t>> asked_now_;
  double now_ = 0, progress_at_ = 0;
  bool rates_stale_ = false;
  uint64_t order_ = 0, trace_ = 14695981039346656037ull, twice_asked_ = 0;
};

} // namespace harp::test
