#include "actors/folder.hpp"

#include "net/log.hpp"
#include "storage/chunk_reuse.hpp"
#include "storage/node_store.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace harp {

using net::log_level;

namespace {

/// The node an action is about; 0 for new entries.
local_id lid_of(const plan_action& action) {
  return std::visit(
    [](const auto& what) -> local_id {
      if constexpr (requires { what.lid; })
        return what.lid;
      else
        return 0;
    },
    action);
}

} // namespace

folder_actor::behavior_type folder(folder_actor::stateful_pointer<folder_state> self, std::shared_ptr<storage_plane> plane, folder_settings settings) {
  return self->state.start(std::move(plane), std::move(settings));
}

folder_state::~folder_state() = default;

folder_actor::behavior_type folder_state::start(std::shared_ptr<storage_plane> plane, folder_settings settings) {
  plane_ = std::move(plane);
  settings_ = std::move(settings);
  self_->send(self_, caf::tick_atom_v);
  return {
    [this](wake_atom) { wake(); },
    [this](const changed_nodes& what) { changed(what); },
    [this](const content_here& what) { content(what); },
    [this](const actor_step& step) { (*step.rest)(); },
    [this](scan_atom) { scan(); },
    [this](report_atom) { return report(); },
    [this](release_atom, bool let_it_happen) { return answer_burst(let_it_happen); },
    [this](caf::tick_atom) { tick(); },
  };
}

// -- the root ----------------------------------------------------------------------------------------------------------------

/// Opening reads and writes rows, so it is the store's work.
void folder_state::open_root() {
  busy_ = true;
  auto rows = settings_.rows;
  auto id = settings_.id;
  auto dir = settings_.dir;
  auto store = plane_->store;
  auto intents = [rows, store](const std::vector<placing_row>& group) {
    return wait_for_store(store, [rows, group](node_store&) { store_placings(*rows, group); });
  };
  in_store(
    self_, plane_->store, [rows, id, dir, intents](node_store&) { return open_folder(dir, id, *rows, intents); },
    [this](std::variant<std::shared_ptr<folder_disk>, std::string>& opened) {
      busy_ = false;
      if (auto* why = std::get_if<std::string>(&opened)) {
        if (offline_why_ != *why) {
          net::log(log_level::warn, "HARP-D001", "disk", "a space is offline on this device", {{"cause", *why}, {"next", "mount the disk or bring the folder back; nothing is deleted elsewhere meanwhile"}});
          if (settings_.alert)
            settings_.alert(notice_code::space_offline, root_lid, *why);
        }
        offline_why_ = *why;
        return;
      }
      offline_why_.clear();
      disk_ = std::get<std::shared_ptr<folder_disk>>(opened);
      settings_.content->hold(disk_->root);
      auto self = caf::actor_cast<folder_actor>(self_);
      watch_options options;
      options.root = settings_.dir;
      options.wake = [self] { caf::anon_send(self, wake_atom_v); };
      auto watching = watcher::start(std::move(options));
      if (auto* made = std::get_if<std::unique_ptr<watcher>>(&watching))
        watcher_ = std::move(*made);
      else
        net::log(log_level::warn, "HARP-D002", "disk", "changes of a folder are not reported by the kernel", {{"cause", std::get<std::string>(watching)}, {"next", "raise fs.inotify limits; it is scanned every 5 minutes instead"}});
      first_scan_done_ = false;
      scan_all_ = true;
      recover();
    },
    [this](caf::error&) { busy_ = false; });
}

/// Replacements that a crash cut short are finished or undone before anything else.
void folder_state::recover() {
  busy_ = true;
  auto rows = settings_.rows;
  auto disk = disk_;
  auto store = plane_->store;
  in_pool_of(
    *plane_->pool, caf::actor_cast<folder_actor>(self_),
    [rows, disk, store] {
      return wait_for_store(store, [rows, disk](node_store&) { recover_placings(*rows, *disk); });
    },
    [this](bool&) {
      busy_ = false;
      go();
    });
}

// -- events ------------------------------------------------------------------------------------------------------------------

void folder_state::wake() {
  events_waiting_ = true;
  go();
}

void folder_state::changed(const changed_nodes& what) {
  for (auto lid : *what.lids)
    waiting_.erase(lid); // what it waits for may be another content now
  go();
}

void folder_state::content(const content_here& what) {
  if (what.room) {
    for (const auto& lid : unwished_)
      lids_.insert(lid);
    unwished_.clear();
  }
  if (auto found = waiting_for_.find(what.cid); found != waiting_for_.end()) {
    for (auto lid : found->second)
      if (waiting_.erase(lid) > 0)
        lids_.insert(lid);
    waiting_for_.erase(found);
  }
  go();
}

void folder_state::scan() {
  scan_all_ = true;
  go();
}

void folder_state::tick() {
  auto now = plane_->now_ms();
  if (!disk_ && !busy_)
    open_root();
  else if (disk_ && !busy_) {
    if (auto why = check_folder(*disk_, settings_.dir); !why.empty()) {
      watcher_ = nullptr;
      disk_ = nullptr;
      settings_.content->hold(nullptr);
      offline_why_.clear();
      open_root();
    }
  }
  auto interval = watcher_ && watcher_->unwatched().empty() ? std::chrono::duration_cast<std::chrono::milliseconds>(folder_rescan_interval)
                                                            : std::chrono::duration_cast<std::chrono::milliseconds>(unwatched_rescan_interval);
  if (disk_ && now > scanned_ms_ + static_cast<uint64_t>(interval.count())) {
    scanned_ms_ = now;
    scan_all_ = true;
  }
  retry_pending_ = true;
  go();
  self_->delayed_send(self_, folder_tick_interval, caf::tick_atom_v);
}

// -- rounds ------------------------------------------------------------------------------------------------------------------

bool folder_state::may_write() const {
  return settings_.rows->may_write();
}

/// Begins a round when none is under way and there is something to look at.
void folder_state::go() {
  if (busy_ || !disk_)
    return;
  auto round = std::make_shared<folder_round>();
  auto& input = round->input;
  if (watcher_ && events_waiting_)
    input.events = watcher_->take();
  bool pending = retry_pending_ && (!pending_.empty() || dirty_left_ > 0 || !places_.empty());
  bool fresh = !input.events.empty() || !list_dirs_.empty() || scan_all_ || !lids_.empty() || again_ || settings_.rows->changes() != planned_change_;
  if (!fresh && !pending) {
    events_waiting_ = false;
    return;
  }
  events_waiting_ = !input.events.empty(); // there may be more than one take()
  busy_ = true;
  again_ = false;
  retry_pending_ = false;
  planned_change_ = settings_.rows->changes();
  input.places.assign(places_.begin(), places_.end());
  input.list_dirs.assign(list_dirs_.begin(), list_dirs_.end());
  list_dirs_.clear();
  input.scan_all = std::exchange(scan_all_, false);
  input.lids.assign(lids_.begin(), lids_.end());
  lids_.clear();
  for (const auto& [lid, place] : waiting_)
    input.waiting.insert(lid);
  input.unfit = unfit_;
  input.mode = settings_.mode;
  auto& guards = input.guards;
  guards.root_present = true;
  guards.may_write = may_write();
  guards.absence_known = first_scan_done_;
  auto now = static_cast<int64_t>(plane_->now_ms());
  guards.losses_left = burst_.left(now, files_);
  guards.host = disk_->host;
  guards.backing_off = [this, now](local_id lid) { return backoff_.waiting(now, lid); }; // this actor waits for the round
  input.incoming = incoming_;
  input.now_ms = now;
  input.own = settings_.rows->own();
  input.files = files_;
  auto* watch = watcher_.get();
  guards.settling = [watch](std::string_view path) { return watch != nullptr && watch->waiting(path); };
  auto rows = settings_.rows;
  auto disk = disk_;
  in_pool_of(
    *plane_->pool, caf::actor_cast<folder_actor>(self_),
    [round, rows, disk] {
      try {
        plan_round(*round, *disk, *rows);
      } catch (const storage_failure& failure) {
        round->trouble = failure.what;
      }
      return round;
    },
    [this](std::shared_ptr<folder_round>& done) { planned(done); });
}

void folder_state::planned(std::shared_ptr<folder_round> round) {
  files_ = round->files;
  if (!round->trouble.empty()) {
    net::log(log_level::error, "HARP-D003", "disk", "a folder cannot be looked at", {{"cause", round->trouble}, {"next", "look at the disk's health; it is tried again"}});
    busy_ = false;
    return;
  }
  keep_before(round);
}

/// Versions that are about to go and are not safe yet, and on keepers all of them, leave their chunks in the packs first.
void folder_state::keep_before(std::shared_ptr<folder_round> round) {
  auto doomed = std::make_shared<std::vector<content_id>>();
  settings_.rows->read([&](const read_txn&, space_rows& rows) {
    auto add = [&](local_id lid, const stamp& vid) {
      space_tree tree{rows};
      auto shown = tree.resolve(lid);
      std::vector<local_id> members = shown ? shown->members : std::vector<local_id>{lid};
      for (auto member : members)
        if (auto version = rows.version(member, vid)) {
          doomed->push_back(version->cid);
          return;
        }
    };
    for (const auto& action : round->plan.actions) {
      if (auto* place = std::get_if<do_place>(&action); place != nullptr && place->displaced != 0 && (place->keep_displaced || settings_.keeper))
        add(place->displaced, place->displaced_vid);
      if (auto* gone = std::get_if<do_remove_file>(&action); gone != nullptr && (gone->keep || settings_.keeper))
        add(gone->lid, gone->vid);
    }
  });
  if (doomed->empty())
    return act(round);
  auto content = settings_.content;
  auto store = plane_->store;
  in_pool_of(
    *plane_->pool, caf::actor_cast<folder_actor>(self_),
    [content, store, doomed] {
      for (const auto& cid : *doomed)
        keep_content(*content, cid, [&store](const chunk_id& id, const std::string& bytes) {
          return wait_for_store(store, [id, bytes](node_store& all) {
            if (auto failure = all.packs().put(id, bytes))
              throw *failure;
          });
        });
      return wait_for_store(store, [](node_store& all) {
        if (auto failure = all.packs().sync())
          throw *failure;
      });
    },
    [this, round](bool&) { act(round); });
}

void folder_state::act(std::shared_ptr<folder_round> round) {
  if (round->plan.actions.empty())
    return record_round(round);
  size_t slices = std::min({plane_->pool->size(), slices_max, round->plan.actions.size()});
  auto left = std::make_shared<size_t>(slices);
  auto rows = settings_.rows;
  auto disk = disk_;
  auto content = settings_.content;
  for (size_t slice = 0; slice < slices; ++slice)
    in_pool_of(
      *plane_->pool, caf::actor_cast<folder_actor>(self_),
      [round, slice, slices, rows, disk, content] {
        try {
          act_round(*round, slice, slices, *disk, *rows, *content);
        } catch (const storage_failure& failure) {
          std::lock_guard lock{round->mutex};
          round->trouble = failure.what;
        }
        return true;
      },
      [this, round, left](bool&) {
        if (--*left == 0)
          record_round(round);
      });
}

void folder_state::record_round(std::shared_ptr<folder_round> round) {
  if (std::any_of(round->finished.begin(), round->finished.end(), [](const finished_action& one) { return one.slipped_in.has_value(); }))
    return keep_slipped_in(round);
  record_finished(round);
}

void folder_state::record_finished(std::shared_ptr<folder_round> round) {
  if (round->plan.actions.empty() && round->plan.clean_lids.empty() && round->finished.empty()) {
    folder_settled nothing;
    nothing.dirty_left = round->lids.size();
    return recorded(*round, nothing);
  }
  auto rows = settings_.rows;
  auto space = settings_.space;
  auto content = settings_.content;
  auto now = plane_->now_ms();
  ledger_options options;
  options.pairing = !first_scan_done_;
  options.keeper = settings_.keeper;
  in_store(
    self_, plane_->store,
    [round, rows, space, content, options, now](node_store& all) {
      auto settled = std::make_shared<folder_settled>(settle_round(*round, *rows, all.packs(), options, now));
      note_places(all.places(), rows->id(), *rows, *content, round->finished);
      if (!settled->change.made.empty())
        caf::anon_send(space, made_bundles{std::make_shared<const std::vector<bundle_ptr>>(settled->change.made), rows->state_root(), rows->checkpoint()});
      return settled;
    },
    [this, round](std::shared_ptr<folder_settled>& settled) { recorded(*round, *settled); },
    [this](caf::error&) { busy_ = false; });
}

void folder_state::recorded(folder_round& round, folder_settled& settled) {
  busy_ = false;
  auto trouble = round.trouble.empty() ? settled.trouble : round.trouble;
  if (!trouble.empty())
    net::log(log_level::warn, "HARP-D007", "disk", "a round of a folder was cut short", {{"cause", trouble}, {"next", "nothing: it is tried again"}});
  net::log(log_level::debug, "HARP-D006", "disk", "a round", {{"places", round.places.size()}, {"nodes", round.lids.size()}, {"actions", round.plan.actions.size()}, {"finished", round.finished.size()}, {"pending", round.plan.pending.size()}, {"scanned", round.scanned}, {"held", round.plan.losses_held}});
  for (const auto& place : round.plan.clean_places)
    places_.erase(place);
  std::set<disk_place> clean{round.plan.clean_places.begin(), round.plan.clean_places.end()};
  for (const auto& place : round.places)
    if (!clean.contains(place))
      places_.insert(place);
  places_.insert(settled.again.places.begin(), settled.again.places.end());
  lids_.insert(settled.again.lids.begin(), settled.again.lids.end());
  list_dirs_.insert(settled.again.list_dirs.begin(), settled.again.list_dirs.end());
  pending_ = round.plan.pending;
  dirty_left_ = settled.dirty_left;
  note_losses(round);
  note_unsynced(round);
  if (round.scanned && !first_scan_done_) {
    first_scan_done_ = true;
    scanned_ms_ = plane_->now_ms();
    again_ = true;
  }
  want_contents(round.wanted);
  for (const auto& one : round.finished) {
    auto lid = lid_of(one.action);
    if (one.result.error.empty()) {
      backoff_.worked(lid);
      failures_.erase(lid);
      continue;
    }
    if (lid != 0 && failures_.size() < failures_max)
      failures_[lid] = one.result.error;
    if (lid != 0)
      backoff_.failed(static_cast<int64_t>(plane_->now_ms()), lid);
    net::log(log_level::debug, "HARP-D004", "disk", "an action was not done", {{"cause", one.result.error}});
    if (one.read.changed && watcher_)
      if (auto* create = std::get_if<emit_create>(&one.action))
        watcher_->retry(create->path);
  }
  for (const auto& cid : settled.placed)
    settings_.content->forget(cid);
  discard_slipped(round);
  if (!settled.held.empty()) {
    auto held = std::make_shared<std::vector<content_held::version>>();
    for (const auto& [nid, version] : settled.held)
      held->push_back({nid, version.first, version.second});
    caf::anon_send(settings_.swarm, content_held{std::move(held)});
  }
  bool moved = std::any_of(round.finished.begin(), round.finished.end(), [](const finished_action& one) { return one.result.done; });
  again_ = again_ || moved || round.more;
  if (!moved && !round.plan.actions.empty() && round.wanted.size() < round.plan.actions.size())
    retry_pending_ = false; // nothing went well: with the next tick
  go();
}

/// Edits that slipped in were emitted: the files that hold them, beside those that took their place, go.
void folder_state::discard_slipped(const folder_round& round) {
  auto gone = std::make_shared<std::vector<finished_action>>();
  for (const auto& one : round.finished)
    if (one.slipped_in && one.slipped_kept && one.slipped_emitted)
      gone->push_back(one);
  if (gone->empty())
    return;
  auto disk = disk_;
  auto self = caf::actor_cast<folder_actor>(self_);
  plane_->pool->submit([disk, gone, self] {
    for (const auto& one : *gone) {
      disk->writer->discard(one.row, *one.slipped_in, one.slipped_seen);
      caf::anon_send(self, content_here{one.read.content.cid, false}); // the packs have it
    }
  });
}

/// Before an operation names the bytes of an edit that slipped in, they are in the packs.
void folder_state::keep_slipped_in(std::shared_ptr<folder_round> round) {
  auto disk = disk_;
  auto store = plane_->store;
  in_pool_of(
    *plane_->pool, caf::actor_cast<folder_actor>(self_),
    [round, disk, store] {
      auto put = [&store](const chunk_id& id, const std::string& bytes) {
        return wait_for_store(store, [id, bytes](node_store& all) {
          if (auto failure = all.packs().put(id, bytes))
            throw *failure;
        });
      };
      bool any = false;
      for (auto& one : round->finished)
        if (one.slipped_in) {
            one.slipped_kept = keep_slipped(one, *disk->root, put);
            any = any || one.slipped_kept;
        }
      return !any || wait_for_store(store, [](node_store& all) {
        if (auto failure = all.packs().sync())
          throw *failure;
      });
    },
    [this, round](bool&) { record_finished(round); });
}

void folder_state::want_contents(const std::vector<do_place>& places) {
  auto wants = std::make_shared<std::vector<content_want>>();
  settings_.rows->read([&](const read_txn&, space_rows& rows) {
    for (const auto& place : places) {
      waiting_[place.lid] = place;
      auto& lids = waiting_for_[place.content];
      lids.insert(place.lid);
      auto node = rows.node(place.lid);
      auto temp = temp_name(node ? node->nid : node_id{}, place.vid);
      if (!settings_.content->expect(place.content, place.size, std::string{split_path(place.path).first}, temp)) {
        unwished_.insert(place.lid);
        continue;
      }
      content_want want;
      want.cid = place.content;
      want.size = place.size;
      want.author = place.vid.rid;
      want.directory = place.place.parent;
      want.edited_hlc = place.vid.hlc;
      auto record = rows.root_record(place.content);
      auto parsed = record.empty() ? std::variant<content_root, std::string>{std::string{}} : parse_root(record);
      if (auto* root = std::get_if<content_root>(&parsed); root != nullptr && root->chunks <= 1)
        want.shape = shape_of(*root); // no temp file has to be opened first
      wants->push_back(std::move(want));
    }
  });
  if (!wants->empty())
    caf::anon_send(settings_.swarm, content_wish{wants, nullptr});
}

} // namespace harp
