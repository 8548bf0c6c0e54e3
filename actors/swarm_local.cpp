// What a swarm need not ask of peers: chunks that are on this device already; and the end of a download.
#include "actors/swarm.hpp"

#include "net/log.hpp"
#include "storage/node_store.hpp"

#include <caf/send.hpp>

namespace harp {

/// The space's number in the index of chunks, which only the store may make.
void swarm_state::number_space() {
  if (!settings_.reuse)
    return;
  in_store(
    self_, plane_->store, [id = settings_.id](node_store& all) { return all.places().space_number(id).value_or(0); },
    [this](uint32_t& number) { space_number_ = number; }, [](caf::error&) {});
}

void swarm_state::take_list(const content_id& cid, replica_id from, uint32_t index, std::shared_ptr<const std::vector<chunk_ref>> chunks) {
  look_here(cid, index * root_segment_chunks_max, chunks, [this, cid, from, index, chunks] { core_->segment_arrived(plane_->now_ms(), from, cid, index, *chunks); });
}

/// Looks for the chunks on this device, and then goes on; what was found counts as held at once and is copied meanwhile.
void swarm_state::look_here(const content_id& cid, uint32_t first, std::shared_ptr<const std::vector<chunk_ref>> chunks, std::function<void()> then) {
  auto under_way = settings_.reuse ? settings_.content->expected(cid) : std::nullopt;
  if (!under_way || !under_way->file) {
    then();
    return run();
  }
  auto reuse = settings_.reuse;
  in_pool_of(
    *plane_->pool, caf::actor_cast<swarm_actor>(self_),
    [reuse, cid, first, chunks, number = space_number_] { return std::make_shared<const std::vector<reusable_chunk>>(reuse->find(cid, number, first, *chunks)); },
    [this, cid, then = std::move(then)](std::shared_ptr<const std::vector<reusable_chunk>>& found) {
      then();
      copy_here(cid, found);
      run();
    });
}

void swarm_state::copy_here(const content_id& cid, std::shared_ptr<const std::vector<reusable_chunk>> found) {
  auto want = wants_.find(cid);
  auto* had = core_->held(cid);
  if (want == wants_.end() || had == nullptr)
    return;
  auto todo = std::make_shared<std::vector<reusable_chunk>>();
  std::vector<chunk_run> runs;
  for (const auto& one : *found)
    if (!had->has(one.to.no)) { // a resumed download may have it
      todo->push_back(one);
      runs.push_back({one.to.no, 1});
    }
  if (todo->empty())
    return;
  ++want->second.copies;
  core_->chunks_held(plane_->now_ms(), cid, runs);
  auto reuse = settings_.reuse;
  in_pool_of(
    *plane_->pool, caf::actor_cast<swarm_actor>(self_), [reuse, cid, todo] { return reuse->copy(cid, *todo); },
    [this, cid](std::vector<chunk_run>& failed) {
      auto still = wants_.find(cid);
      if (still == wants_.end())
        return;
      --still->second.copies;
      if (!failed.empty() && !still->second.fetched)
        core_->chunks_lost(plane_->now_ms(), cid, failed);
      conclude(cid);
      run();
    });
}

/// The picker has all of it: once local copies are there, chunks of an earlier run are re-hashed, and then it is whole.
void swarm_state::conclude(const content_id& cid) {
  auto want = wants_.find(cid);
  if (want == wants_.end() || !want->second.fetched || want->second.copies != 0 || want->second.settling)
    return;
  auto under_way = settings_.content->expected(cid);
  if (!settings_.reuse || !under_way || !under_way->file)
    return settled(cid, true);
  want->second.settling = true;
  auto reuse = settings_.reuse;
  in_pool_of(
    *plane_->pool, caf::actor_cast<swarm_actor>(self_), [reuse, cid] { return reuse->settle(cid); },
    [this, cid](bool& whole) {
      settled(cid, whole);
      run();
    });
}

void swarm_state::settled(const content_id& cid, bool whole) {
  auto want = wants_.extract(cid);
  if (want.empty())
    return;
  if (!whole) { // bytes on this disk turned out wrong: the rest is kept, those are asked for again
    net::log(net::log_level::warn, "HARP-C003", "chunk", "a part of a download was not what it should be", {{"cause", "local or resumed bytes with another hash"}, {"next", "nothing: it is fetched again"}});
    auto wants = std::make_shared<std::vector<content_want>>();
    wants->push_back(std::move(want.mapped().what));
    return caf::anon_send(caf::actor_cast<swarm_actor>(self_), content_wish{wants, nullptr});
  }
  settings_.content->completed(cid);
  if (settings_.tell_folder)
    settings_.tell_folder({cid, false});
}

} // namespace harp
