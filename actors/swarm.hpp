// The contents one space wants and has: drives storage/picker, tells members what is here.
#pragma once

#include "actors/fetch_report.hpp"
#include "actors/storage_plane.hpp"
#include "storage/chunk_reuse.hpp"
#include "storage/picker.hpp"

#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace harp {

inline constexpr uint64_t offer_again_ms = 10'000;
inline constexpr std::chrono::milliseconds swarm_tick_interval{500}; // at the latest
inline constexpr size_t waits_told_max = 100;

struct swarm_settings {
  space_id id;
  replica_id own = 0;
  bool keeper = false; // this node: larger windows, and it declares what it holds Safe
  std::shared_ptr<space_content> content;
  std::shared_ptr<const chunk_reuse> reuse; // null: everything comes from peers
  std::function<void(content_here)> tell_folder;                 // may be empty
  std::function<void(notice_code, std::string)> alert;
};

class swarm_state {
public:
  static inline const char* name = "harp.swarm";
  explicit swarm_state(swarm_actor::pointer self) : self_(self) {}
  ~swarm_state();
  swarm_actor::behavior_type start(std::shared_ptr<storage_plane> plane, swarm_settings settings);

private:
  struct source {
    device_key device;
    bool keeper = false;
  };

  void member(const member_link& fact);
  bool message(const peer_note& note);
  void wish(const content_wish& what);
  void tick();
  void held(const content_held& what);
  void news(const fetch_report& report);
  swarm_report report() const;
  void run();
  void mark_safe(const safe_message& told, const peer_note& note);
  void offer_keepers(const content_id& cid);
  void got_root(const content_id& cid, replica_id from, content_shape shape, uint32_t chunks);

  // swarm_local.cpp: what is here already, and the end of a download
  struct wanted {
    content_want what;
    size_t copies = 0;     // of local chunks under way
    bool fetched = false;  // the picker is done with it
    bool settling = false; // resumed chunks are being re-hashed
  };
  void number_space();
  void take_list(const content_id& cid, replica_id from, uint32_t index, std::shared_ptr<const std::vector<chunk_ref>> chunks);
  void look_here(const content_id& cid, uint32_t first, std::shared_ptr<const std::vector<chunk_ref>> chunks, std::function<void()> then);
  void copy_here(const content_id& cid, std::shared_ptr<const std::vector<reusable_chunk>> found);
  void conclude(const content_id& cid);
  void settled(const content_id& cid, bool whole);

  void carry_out(const fetch_request& effect);
  void carry_out(const fetch_cancel& effect);
  void carry_out(const need_root& effect);
  void carry_out(const need_segment& effect);
  void carry_out(const fetch_reuse& effect);
  void carry_out(const fetch_announce& effect);
  void carry_out(const fetch_finished& effect);
  void carry_out(const fetch_banned& effect);
  void carry_out(const fetch_room& effect);
  void arm();
  void broadcast(const peer_message& what);

  swarm_actor::pointer self_;
  std::shared_ptr<storage_plane> plane_;
  swarm_settings settings_;
  std::unique_ptr<picker> core_;
  std::map<replica_id, source> peers_;
  std::map<content_id, wanted> wants_; // until they are whole
  uint32_t space_number_ = 0;          // in the index of chunks; 0: not known yet
  uint64_t tick_generation_ = 0;
  int64_t missing_counted_ = 0;
  uint64_t offered_at_ms_ = 0;
  bool running_ = false;
};

swarm_actor::behavior_type swarm(swarm_actor::stateful_pointer<swarm_state> self, std::shared_ptr<storage_plane> plane, swarm_settings settings);

} // namespace harp

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::swarm_settings)
