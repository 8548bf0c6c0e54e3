#include "actors/swarm.hpp"

#include "net/log.hpp"
#include "storage/node_store.hpp"
#include "storage/peer_codec.hpp"

#include <caf/send.hpp>

namespace harp {

using net::log_level;

swarm_actor::behavior_type swarm(swarm_actor::stateful_pointer<swarm_state> self, std::shared_ptr<storage_plane> plane, swarm_settings settings) {
  return self->state.start(std::move(plane), std::move(settings));
}

swarm_actor::behavior_type swarm_state::start(std::shared_ptr<storage_plane> plane, swarm_settings settings) {
  plane_ = std::move(plane);
  settings_ = std::move(settings);
  core_ = std::make_unique<picker>(picker_settings{settings_.own, settings_.keeper});
  number_space();
  arm();
  return {
    [this](const member_link& fact) { member(fact); },
    [this](const peer_note& note) { return message(note); },
    [this](const content_wish& what) { wish(what); },
    [this](const content_held& what) { held(what); },
    [this](const fetch_news& what) { news(*what.report); },
    [this](const actor_step& step) { (*step.rest)(); },
    [this](report_atom) { return report(); },
    [this](caf::tick_atom, uint64_t generation) {
      if (generation == tick_generation_)
        tick();
    },
  };
}

// -- members and what they have ----------------------------------------------------------------------------------------------

void swarm_state::member(const member_link& fact) {
  auto now = plane_->now_ms();
  bool keeper = fact.keeper || fact.role == member_role::keeper || fact.role == member_role::admin;
  if (fact.up) {
    peers_[fact.rid] = {fact.device, keeper};
    core_->peer_up(now, fact.rid, static_cast<peer_reach>(fact.reach), fact.rtt_ms, keeper);
    if (keeper)
      for (const auto& [cid, want] : wants_) // a keeper has what it could get; if not, it says Missing
        core_->have(now, fact.rid, cid, true, {});
  } else {
    peers_.erase(fact.rid);
    core_->peer_down(now, fact.rid);
  }
  run();
}

bool swarm_state::message(const peer_note& note) {
  auto now = plane_->now_ms();
  if (auto* have = std::get_if<have_message>(note.what.get())) {
    for (const auto& entry : have->contents) {
      std::vector<chunk_run> runs;
      for (const auto& map : entry.segments)
        for (uint32_t bit = 0; bit < map.bits.size() * 8; ++bit)
          if ((static_cast<uint8_t>(map.bits[bit / 8]) >> (bit % 8) & 1) != 0) {
            auto no = map.segment * root_segment_chunks_max + bit;
            if (!runs.empty() && runs.back().first + runs.back().count == no)
              ++runs.back().count;
            else
              runs.push_back({no, 1});
          }
      core_->have(now, note.rid, entry.cid, entry.complete, runs);
    }
  } else if (auto* delta = std::get_if<have_delta_message>(note.what.get())) {
    core_->have_more(now, note.rid, delta->gained.cid, delta->gained.runs);
  } else if (auto* safe = std::get_if<safe_message>(note.what.get())) {
    mark_safe(*safe, note);
  }
  run();
  return true;
}

/// A keeper holds these versions durably: they may be replaced here without keeping them, and it is a source of them.
void swarm_state::mark_safe(const safe_message& told, const peer_note& note) {
  auto peer = peers_.find(note.rid);
  if (peer == peers_.end() || !peer->second.keeper)
    return; // only a keeper's word counts
  auto id = settings_.id;
  auto rid = note.rid;
  in_store(
    self_, plane_->store,
    [id, versions = told.versions](node_store& all) {
      std::vector<content_id> contents;
      auto* space = all.find(id);
      if (space == nullptr)
        return contents;
      space->write([&](write_txn&, space_rows& rows) {
        contents.clear();
        for (const auto& [nid, vid] : versions) {
          auto lid = rows.find(nid);
          auto version = lid != 0 ? rows.version(lid, vid) : std::nullopt;
          if (!version)
            continue;
          contents.push_back(version->cid);
          if ((version->flags & version_safe) != 0)
            continue;
          version->flags |= version_safe;
          rows.put_version(lid, *version);
        }
      });
      return contents;
    },
    [this, rid](std::vector<content_id>& contents) {
      for (const auto& cid : contents)
        if (wants_.contains(cid))
          core_->have(plane_->now_ms(), rid, cid, true, {});
      run();
    },
    [](caf::error&) {});
}

// -- what is wanted ----------------------------------------------------------------------------------------------------------

void swarm_state::offer_keepers(const content_id& cid) {
  for (const auto& [rid, peer] : peers_)
    if (peer.keeper)
      core_->have(plane_->now_ms(), rid, cid, true, {});
}

void swarm_state::wish(const content_wish& what) {
  auto now = plane_->now_ms();
  if (what.unwants)
    for (const auto& cid : *what.unwants) {
      core_->unwant(now, cid);
      wants_.erase(cid);
    }
  if (what.wants)
    for (const auto& want : *what.wants) {
      auto known = wants_.find(want.cid);
      if (known != wants_.end() && known->second.fetched)
        continue; // whole in a moment
      bool fresh = known == wants_.end();
      if (!core_->want(now, want))
        continue; // full: fetch_room tells when to come again
      wants_[want.cid].what = want;
      if (fresh)
        offer_keepers(want.cid);
    }
  run();
}

/// A provider that said Missing may have just started, its folder not open yet: authors and keepers are believed again.
void swarm_state::tick() {
  auto now = plane_->now_ms();
  if (now >= offered_at_ms_ + offer_again_ms) {
    offered_at_ms_ = now;
    for (const auto& [cid, want] : wants_) {
      if (want.fetched)
        continue;
      if (peers_.contains(want.what.author))
        core_->have(now, want.what.author, cid, true, {});
      offer_keepers(cid);
    }
  }
  run();
}

void swarm_state::held(const content_held& what) {
  if (!settings_.keeper)
    return;
  safe_message told;
  told.space = settings_.id;
  for (const auto& one : *what.versions) {
    told.versions.emplace_back(one.node, one.vid);
    if (told.versions.size() == safe_entries_max) {
      broadcast(told);
      told.versions.clear();
    }
  }
  if (!told.versions.empty())
    broadcast(told);
}

void swarm_state::broadcast(const peer_message& what) {
  for (const auto& [rid, peer] : peers_)
    plane_->links->send(peer.device, what);
}

// -- news of requests --------------------------------------------------------------------------------------------------------

void swarm_state::news(const fetch_report& report) {
  auto now = plane_->now_ms();
  using kind = fetch_report::kind;
  switch (report.what) {
    case kind::data:
      core_->data_arrived(now, report.peer, report.run.cid, report.run.first, report.bytes);
      break;
    case kind::chunk:
      core_->chunk_arrived(now, report.peer, report.run.cid, report.run.first, report.bytes);
      break;
    case kind::root:
      got_root(report.run.cid, report.peer, report.shape, report.chunk_count);
      break;
    case kind::segment:
      take_list(report.run.cid, report.peer, report.run.first, std::make_shared<const std::vector<chunk_ref>>(report.chunks));
      break;
    case kind::bad:
      net::log(log_level::warn, "HARP-C001", "chunk", "a peer sent wrong bytes", {{"peer", static_cast<uint64_t>(report.peer)}, {"cause", report.words}, {"next", "nothing: they were dropped and are fetched elsewhere"}});
      if (report.run.kind == piece_kind::chunk)
        core_->chunk_bad(now, report.peer, report.run.cid, report.run.first);
      else
        core_->manifest_bad(now, report.peer, report.run.cid, report.run.kind, report.run.first);
      break;
    case kind::unkept:
      net::log(log_level::warn, "HARP-C002", "chunk", "content cannot be written", {{"cause", report.words}, {"next", "free space or mend the disk; it is fetched again"}});
      core_->request_failed(now, report.request);
      break;
    case kind::missing:
      core_->missing(now, report.peer, report.run, report.denied);
      break;
    case kind::busy:
      core_->busy(now, report.peer, report.request, report.retry_ms);
      break;
    case kind::ended:
    case kind::failed:
      core_->request_failed(now, report.request);
      break;
  }
  run();
}

/// Before the first chunk can come there must be a file to write it to.
void swarm_state::got_root(const content_id& cid, replica_id from, content_shape shape, uint32_t chunks) {
  if (chunks <= 1) {
    core_->root_arrived(plane_->now_ms(), from, cid, shape);
    return;
  }
  auto content = settings_.content;
  in_store(
    self_, plane_->store,
    [content, cid, chunks](node_store&) -> std::pair<std::vector<chunk_run>, bool> {
      auto opened = content->open_partial(cid, chunks);
      if (auto* failure = std::get_if<storage_failure>(&opened)) {
        if (failure->code != ENOENT)
          throw *failure;
        return {};
      }
      std::vector<chunk_run> runs;
      const auto& file = std::get<std::shared_ptr<partial_file>>(opened);
      if (!file) // it goes to the packs
        return {content->packed_runs(cid), true};
      auto had = file->chunks();
      for (uint32_t no = 0; no < chunks; ++no)
        if (had.has(no)) {
          if (!runs.empty() && runs.back().first + runs.back().count == no)
            ++runs.back().count;
          else
            runs.push_back({no, 1});
        }
      return {runs, true};
    },
    [this, cid, from, shape](std::pair<std::vector<chunk_run>, bool>& opened) {
      auto now = plane_->now_ms();
      if (!opened.second) {
        core_->unwant(now, cid);
        wants_.erase(cid);
        return run();
      }
      auto shaped = [this, cid, from, shape, had = std::move(opened.first)] {
        if (core_->root_arrived(plane_->now_ms(), from, cid, shape) && !had.empty())
          core_->chunks_held(plane_->now_ms(), cid, had);
      };
      if (!shape.chunks.empty()) // the chunks themselves: what is here need not be asked for
        return look_here(cid, 0, std::make_shared<const std::vector<chunk_ref>>(shape.chunks), std::move(shaped));
      shaped();
      run();
    },
    [this, cid](caf::error&) {
      core_->root_absent(plane_->now_ms(), cid);
      run();
    });
}

swarm_report swarm_state::report() const {
  swarm_report out;
  out.waits = std::make_shared<const std::vector<wait_line>>(core_->waits(waits_told_max));
  out.wanted = core_->wants();
  out.received_bytes = core_->totals().received_bytes;
  return out;
}

// -- effects -----------------------------------------------------------------------------------------------------------------

void swarm_state::run() {
  if (running_)
    return; // an effect led to an event: the loop below sees it
  running_ = true;
  for (int rounds = 0; rounds < 64; ++rounds) {
    auto effects = core_->effects(plane_->now_ms());
    if (effects.empty())
      break;
    for (const auto& effect : effects)
      std::visit([this](const auto& one) { carry_out(one); }, effect);
  }
  running_ = false;
  auto missing = static_cast<int64_t>(core_->wants());
  plane_->counts.contents_missing += missing - std::exchange(missing_counted_, missing);
  arm();
}

swarm_state::~swarm_state() {
  if (plane_)
    plane_->counts.contents_missing -= missing_counted_;
}

void swarm_state::arm() {
  auto wait = swarm_tick_interval;
  if (auto due = core_->next_ms()) {
    auto now = plane_->now_ms();
    wait = std::clamp(std::chrono::milliseconds{*due > now ? *due - now : 0}, std::chrono::milliseconds{1}, swarm_tick_interval);
  }
  self_->delayed_send(self_, wait, caf::tick_atom_v, ++tick_generation_);
}

void swarm_state::carry_out(const fetch_request& effect) {
  auto peer = peers_.find(effect.peer);
  if (peer == peers_.end())
    core_->request_failed(plane_->now_ms(), effect.id);
  else
    plane_->links->fetch(peer->second.device, settings_.id, std::make_shared<const fetch_request>(effect), caf::actor_cast<caf::actor>(self_));
}

void swarm_state::carry_out(const fetch_cancel& effect) {
  if (auto peer = peers_.find(effect.peer); peer != peers_.end())
    plane_->links->cancel(peer->second.device, settings_.id, effect);
}

void swarm_state::carry_out(const need_root& effect) {
  auto record = settings_.content->root_record(effect.cid);
  auto parsed = record.empty() ? std::variant<content_root, std::string>{std::string{}} : parse_root(record);
  if (auto* root = std::get_if<content_root>(&parsed))
    got_root(effect.cid, 0, shape_of(*root), root->chunks);
  else
    core_->root_absent(plane_->now_ms(), effect.cid);
}

void swarm_state::carry_out(const need_segment& effect) {
  auto record = settings_.content->root_record(effect.cid);
  auto parsed = parse_root(record);
  auto* root = std::get_if<content_root>(&parsed);
  auto now = plane_->now_ms();
  if (root == nullptr || effect.index >= root->segments.size())
    return core_->segment_absent(now, effect.cid, effect.index);
  auto bytes = settings_.content->segment(root->segments[effect.index].id);
  auto chunks = bytes.empty() ? std::variant<std::vector<chunk_ref>, std::string>{std::string{}} : parse_segment(bytes, *root, effect.index);
  if (auto* list = std::get_if<std::vector<chunk_ref>>(&chunks))
    take_list(effect.cid, 0, effect.index, std::make_shared<const std::vector<chunk_ref>>(std::move(*list)));
  else
    core_->segment_absent(now, effect.cid, effect.index);
}

void swarm_state::carry_out(const fetch_reuse& effect) {
  auto content = settings_.content;
  auto self = caf::actor_cast<swarm_actor>(self_);
  plane_->pool->submit([content, effect, self] {
    auto chunks = content->manifest(effect.cid);
    auto* all = std::get_if<manifest_reader>(&chunks);
    if (all == nullptr)
      return;
    auto from = all->chunk(effect.from);
    auto to = all->chunk(effect.to);
    if (!std::holds_alternative<placed_chunk>(from) || !std::holds_alternative<placed_chunk>(to))
      return;
    auto bytes = content->read(effect.cid, std::get<placed_chunk>(from));
    if (auto* good = std::get_if<std::string>(&bytes))
      content->write(effect.cid, std::get<placed_chunk>(to), *good, false);
  });
}

void swarm_state::carry_out(const fetch_announce& effect) {
  have_message complete;
  complete.space = settings_.id;
  for (const auto& delta : effect.deltas) {
    if (delta.complete)
      complete.contents.push_back({delta.cid, true, {}});
    else
      broadcast(have_delta_message{settings_.id, {delta.cid, delta.runs}});
  }
  if (!complete.contents.empty())
    broadcast(complete);
}

void swarm_state::carry_out(const fetch_finished& effect) {
  wants_[effect.cid].fetched = true;
  conclude(effect.cid);
}

void swarm_state::carry_out(const fetch_banned& effect) {
  if (settings_.alert)
    settings_.alert(notice_code::peer_bad_content, "replica " + std::to_string(effect.peer) + " sent wrong bytes three times; nothing is fetched from it for an hour");
}

void swarm_state::carry_out(const fetch_room&) {
  if (settings_.tell_folder)
    settings_.tell_folder({{}, true});
}

} // namespace harp
