// What a folder tells: held bursts and their answers, what is pending and what it waits for.
#include "actors/folder.hpp"

#include "net/log.hpp"

namespace harp {

namespace {

std::string shown(plan_wait why) {
  switch (why) {
    case plan_wait::later:
      return "another change of the same place";
    case plan_wait::settling:
      return "whoever writes it to finish";
    case plan_wait::read_only:
      return "nothing: this device may only read the space; save the change elsewhere";
    case plan_wait::held_local:
      return "an answer: many files would be removed or rewritten everywhere, see `harp release`";
    case plan_wait::held_incoming:
      return "an answer: another device removed or rewrote many files, see `harp release`";
    case plan_wait::offline:
      return "its folder, which is not there";
    case plan_wait::disk_unknown:
      return "the disk, which does not answer";
    case plan_wait::absence:
      return "a complete scan of its folder";
    default:
      return "its next try";
  }
}

} // namespace

/// G3: what went out, and the question when more is held.
void folder_state::note_losses(const folder_round& round) {
  burst_.note(static_cast<int64_t>(plane_->now_ms()), round.plan.losses);
  bool theirs = !incoming_->held().empty();
  bool news = burst_.held(round.plan.losses_held) || (theirs && !incoming_told_);
  incoming_told_ = theirs;
  if (!news)
    return;
  auto words = std::to_string(round.plan.losses_held) + " files would be removed or rewritten " + (theirs ? "here by another device" : "everywhere");
  net::log(net::log_level::warn, "HARP-D005", "disk", "a burst of deletions is held", {{"cause", words}, {"next", "answer with `harp release SPACE` or `harp release SPACE --undo`"}});
  if (settings_.alert)
    settings_.alert(notice_code::held_burst, root_lid, words);
}

/// Entries that stay on this side only, told once each: a name that other nodes cannot hold, a version that must not be here.
void folder_state::note_unsynced(const folder_round& round) {
  auto tell = [this](local_id node, std::string path, const std::string& why) {
    if (path.size() > unsynced_path_bytes_max)
      path = "..." + path.substr(path.size() - unsynced_path_bytes_max);
    auto words = path + " is not synced: " + why;
    if (unsynced_told_.size() < unsynced_told_max && unsynced_told_.insert(words).second && settings_.alert)
      settings_.alert(notice_code::name_unfit, node, words);
  };
  for (const auto& one : round.plan.unsynced)
    tell(one.place.parent, one.path, one.why);
  for (const auto& one : round.finished)
    if (auto* place = std::get_if<do_place>(&one.action); place != nullptr && one.result.unfit && unfit_.size() < unfit_versions_max) {
      unfit_.insert({place->lid, place->vid});
      again_ = true;
      tell(place->lid, place->path, one.result.error);
    }
}

bool folder_state::answer_burst(bool let_it_happen) {
  auto theirs = incoming_->held();
  if (burst_.waiting() == 0 && theirs.empty())
    return false;
  if (let_it_happen) {
    burst_.confirm();
    for (auto author : theirs)
      incoming_->confirm(author);
    again_ = true;
    go();
    return true;
  }
  // Take it back: what the disk lost is wanted again. The base forgets those rows, so the planner brings them.
  auto rows = settings_.rows;
  std::vector<disk_place> lost;
  for (const auto& pending : pending_)
    if (pending.why == plan_wait::held_local)
      lost.push_back(pending.place);
  auto lids = std::make_shared<std::vector<local_id>>();
  for (const auto& pending : pending_)
    if (pending.why == plan_wait::held_local && pending.lid != 0)
      lids->push_back(pending.lid);
  in_store(
    self_, plane_->store,
    [rows, lids, lost](node_store&) {
      forget_base(*rows, *lids, lost);
      return true;
    },
    [this](bool&) {
      scan_all_ = true;
      go();
    },
    [](caf::error&) {});
  return true;
}

folder_report folder_state::report() const {
  folder_report out;
  out.offline = disk_ == nullptr;
  out.held = burst_.waiting() > 0 || !incoming_->held().empty();
  bool quiet = disk_ && first_scan_done_ && !busy_ && !again_ && !scan_all_ && lids_.empty() && list_dirs_.empty() && !events_waiting_
               && settings_.rows->changes() == planned_change_;
  uint64_t pending = waiting_.size() + places_.size() + (dirty_left_ > waiting_.size() ? dirty_left_ - waiting_.size() : 0);
  out.pending = quiet ? pending : std::max<uint64_t>(pending, 1);
  auto items = std::make_shared<std::vector<folder_report::item>>();
  if (!disk_)
    items->push_back({settings_.dir, offline_why_.empty() ? "its folder being opened" : offline_why_});
  settings_.rows->read([&](const read_txn&, space_rows& rows) {
    space_tree tree{rows};
    for (const auto& one : pending_) {
      if (items->size() >= folder_items_told_max)
        break;
      auto known = one.path.empty() && one.lid != 0 ? tree.path_of(one.lid) : std::nullopt;
      auto failed = one.why == plan_wait::failed ? failures_.find(one.lid) : failures_.end();
      items->push_back({known.value_or(one.path.empty() ? one.place.name : one.path), failed == failures_.end() ? shown(one.why) : failed->second});
    }
  });
  for (const auto& [lid, place] : waiting_) {
    if (items->size() >= folder_items_told_max)
      break;
    items->push_back({place.path, "content " + place.content.to_string()});
  }
  out.items = std::move(items);
  if (watcher_)
    out.unwatched = watcher_->unwatched();
  return out;
}

} // namespace harp
