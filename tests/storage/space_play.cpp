#include "tests/storage/space_play.hpp"

#include "storage/digest.hpp"
#include "storage/state_root.hpp"

#include <algorithm>

namespace harp::play {

namespace {

std::string text(const stamp& s) {
  return std::to_string(s.hlc) + "." + std::to_string(s.rid) + "." + std::to_string(s.idx);
}
std::string text(const operation& op) {
  static constexpr const char* names[]
      = {"file",   "dir",     "adopt", "edit",       "meta",  "move",
         "delete", "restore", "graft", "checkpoint", "policy"};
  std::string out = names[op.index()];
  auto id = [&](const node_id& n) { out += " " + n.to_string(); };
  if (const auto* f = std::get_if<op_make_file>(&op)) {
    id(f->parent);
    out += " " + f->name;
  } else if (const auto* d = std::get_if<op_make_dir>(&op)) {
    id(dir_node_id(d->parent, d->name, d->salt));
    out += " in";
    id(d->parent);
    out += " " + d->name + " salt " + text(d->salt);
  } else if (const auto* a = std::get_if<op_adopt>(&op)) {
    id(adopted_node_id(a->parent, a->name));
    out += " " + a->name;
  } else if (const auto* e = std::get_if<op_edit>(&op)) {
    id(e->node);
    out += " base " + text(e->base);
  } else if (const auto* s = std::get_if<op_set_meta>(&op)) {
    id(s->node);
  } else if (const auto* m = std::get_if<op_move>(&op)) {
    for (const auto& n : m->nodes)
      id(n);
    out += " to";
    id(m->parent);
    out += " " + m->name;
  } else if (const auto* x = std::get_if<op_delete>(&op)) {
    for (const auto& item : x->items) {
      id(item.node);
      for (const auto& seen : item.seen)
        out += " (" + std::to_string(seen.rid) + "." + std::to_string(seen.seq) + ")";
    }
  } else if (const auto* r = std::get_if<op_restore>(&op)) {
    id(r->node);
    out += " " + text(r->version);
  } else if (const auto* c = std::get_if<op_checkpoint>(&op)) {
    out += " floor " + std::to_string(c->floor) + " V";
    for (const auto& [rid, seq] : c->covered)
      out += " " + std::to_string(rid) + "." + std::to_string(seq);
    out += " active";
    for (auto rid : c->active)
      out += " " + std::to_string(rid);
  }
  return out;
}

} // namespace

play_options options_of(uint64_t seed) {
  play_options out;
  constexpr unsigned steps[] = {20, 40, 90};
  out.replicas = 1 + static_cast<unsigned>(seed % 4);
  out.steps = steps[seed / 4 % 3];
  out.checkpoints = seed / 12 % 2 == 1;
  out.purge = out.checkpoints && seed / 24 % 2 == 1;
  out.cuts = seed / 48 % 3 == 1;
  out.liar = out.checkpoints && seed / 144 % 4 == 1;
  return out;
}

// -- replicas -------------------------------------------------------------------------------------

void replica_at_play::each(replica_id author, uint64_t from, uint64_t to,
                           const std::function<bool(const bundle&)>& visit) {
  const auto& chain = home->chains_[author];
  for (auto seq = std::max<uint64_t>(from, 1); seq <= to && seq <= chain.size(); ++seq)
    if (!visit(home->bundles_[chain[seq - 1]]))
      return;
}

world::world(uint64_t seed, play_options options) : random_(seed), options_(options) {
  peers_.resize(options.replicas);
  coarse_ = options.steps > 0 && pick(5) == 0;
  for (size_t i = 0; i < peers_.size(); ++i) {
    auto& peer = peers_[i];
    peer.rid = static_cast<replica_id>(i + 1);
    peer.home = this;
    peer.skew_ms = coarse_ ? 0 : static_cast<int64_t>(pick(7)) - 3;
  }
}

void world::act(size_t n, const std::function<void(space_edit&)>& edit) {
  auto& peer = peers_[n];
  auto physical = (now_ms_ + static_cast<uint64_t>(peer.skew_ms)) << 16;
  auto hlc = std::max(peer.hlc + 1, physical);
  auto seq = peer.rows.replica(peer.rid).value_or(replica_row{}).seq + 1;
  space_edit edits(peer.rows, {peer.rid, seq}, hlc, {peer.rid, &peer});
  edit(edits);
  auto drafts = edits.take();
  peer.hlc = std::max(peer.hlc, drafts.empty() ? 0 : edits.last_hlc());
  auto context = applied_vector(peer.rows);
  for (auto& draft : drafts) {
    bundle b;
    b.rid = draft.id.rid;
    b.seq = draft.id.seq;
    b.hlc = draft.hlc;
    b.ops = std::move(draft.ops);
    for (const auto& [rid, known] : context)
      if (rid != peer.rid && peer.last_context[rid] != known)
        b.context_delta.push_back({rid, known});
    peer.last_context = context;
    auto index = bundles_.size();
    chains_[b.rid].push_back(index);
    bundles_.push_back(std::move(b));
    for (auto& other : peers_)
      if (other.rid != peer.rid)
        other.inbox.push_back(index);
  }
}

apply_result world::deliver_some(size_t n, std::vector<size_t> which) {
  auto& peer = peers_[n];
  auto known = applied_vector(peer.rows);
  auto cut_of = [&](replica_id rid) {
    return peer.rows.replica(rid).value_or(replica_row{}).cut.value_or(UINT64_MAX);
  };
  std::vector<arriving_bundle> batch;
  for (bool more = true; more;) {
    more = false;
    for (auto index : which) {
      const auto& b = bundles_[index];
      bool fits = b.seq == known[b.rid] + 1 && b.seq <= cut_of(b.rid);
      for (const auto& need : b.context_delta)
        fits = fits && known[need.rid] >= std::min(need.seq, cut_of(need.rid));
      if (!fits)
        continue;
      ++known[b.rid];
      peer.hlc = std::max(peer.hlc, b.hlc);
      batch.push_back({&b, blake2b("test", std::to_string(index))});
      more = true;
    }
  }
  if (!batch.empty() && gate(peer.rows, *batch.front().body) != gate_verdict::ready)
    std::abort();
  auto out = apply(peer.rows, batch, {peer.rid, &peer});
  std::erase_if(peer.inbox, [&](size_t index) {
    auto verdict = gate(peer.rows, bundles_[index]);
    return verdict == gate_verdict::known || verdict == gate_verdict::cut;
  });
  return out;
}

apply_result world::deliver(size_t n) {
  return deliver_some(n, peers_[n].inbox);
}

apply_result world::deliver_from(size_t n, replica_id author) {
  auto which = peers_[n].inbox;
  std::erase_if(which, [&](size_t index) { return bundles_[index].rid != author; });
  return deliver_some(n, which);
}

void world::deliver_all() {
  for (size_t round = 0; round < 3; ++round)
    for (size_t n = 0; n < peers_.size(); ++n) {
      std::shuffle(peers_[n].inbox.begin(), peers_[n].inbox.end(), random_);
      hear_cuts(n);
      deliver(n);
    }
}

void world::beat(size_t n, uint64_t ahead) {
  auto& peer = peers_[n];
  peer.hlc = std::max(peer.hlc + 1, (now_ms_ + static_cast<uint64_t>(peer.skew_ms)) << 16);
  beats_.push_back(
      {peer.rid, peer.rows.replica(peer.rid).value_or(replica_row{}).seq, peer.hlc + ahead});
}

bool world::checkpoint(size_t n, const std::vector<size_t>& active) {
  auto& peer = peers_[n];
  std::vector<beat_fact> facts;
  for (const auto& fact : beats_)
    for (auto i : active)
      if (peers_[i].rid == fact.rid)
        facts.push_back(fact);
  std::set<replica_id> heard;
  for (const auto& fact : facts)
    heard.insert(fact.rid);
  if (heard.size() != active.size())
    return false;
  auto planned = plan_checkpoint(peer.rows, facts, peer);
  if (!planned)
    return false;
  bool applied = false;
  act(n, [&](space_edit& edit) {
    edit.add(*planned);
    applied = edit.result().checkpoint_applied;
  });
  return applied;
}

void world::cut(replica_id rid, uint64_t seq) {
  cuts_.emplace(rid, seq);
  for (auto& peer : peers_) {
    peer.roster.emplace_back(rid, seq);
    peer.retired |= peer.rid == rid;
  }
  hear_cuts(0); // the governor is the first keeper: no checkpoint of it covers what it has cut
}

apply_result world::hear_cuts(size_t n) {
  auto& peer = peers_[n];
  apply_result out;
  for (const auto& [rid, seq] : peer.roster)
    out = harp::cut(peer.rows, rid, seq, {peer.rid, &peer});
  peer.roster.clear();
  return out;
}

reference::view world::expected(size_t n) {
  reference::model m;
  m.wrong = options_.wrong;
  for (const auto& [rid, seq] : applied_vector(peers_[n].rows))
    for (uint64_t i = 0; i < seq && i < chains_[rid].size(); ++i)
      m.bundles.push_back(bundles_[chains_[rid][i]]);
  m.cuts = cuts_;
  for (const auto& [rid, seq] : peers_[n].roster)
    m.cuts.erase(rid);
  return reference::view_of(m);
}

reference::view world::expected_of_all() {
  return reference::view_of({bundles_, cuts_, options_.wrong});
}

std::string world::ops_text() const {
  std::string out;
  for (const auto& b : bundles_) {
    out += "bundle " + std::to_string(b.rid) + "." + std::to_string(b.seq) + " hlc "
           + std::to_string(b.hlc) + " ctx";
    for (const auto& d : b.context_delta)
      out += " " + std::to_string(d.rid) + "." + std::to_string(d.seq);
    for (size_t i = 0; i < b.ops.size(); ++i)
      out += "\n  " + std::to_string(i) + " " + text(b.ops[i]);
    out += "\n";
  }
  return out;
}

std::string world::check(size_t n, bool everything) {
  auto& rows = peers_[n].rows;
  auto want = everything ? expected_of_all() : expected(n);
  auto have = view_of(rows);
  std::string out = check_rows(rows);
  for (const auto& [path, line] : want)
    if (!have.contains(path))
      out += "\nreplica " + std::to_string(n + 1) + " lacks " + path + ": " + line;
    else if (have[path] != line)
      out += "\nreplica " + std::to_string(n + 1) + " at " + path + "\n has " + have[path]
             + "\n not " + line;
  for (const auto& [path, line] : have)
    if (!want.contains(path))
      out += "\nreplica " + std::to_string(n + 1) + " has too much: " + path + ": " + line;
  return out;
}

// -- random play ----------------------------------------------------------------------------------

bool world::random_intent(space_edit& edit, space_rows& rows) {
  space_tree tree(rows);
  std::vector<shown_entry> files;
  std::vector<shown_entry> dirs;
  rows.each_node(0, [&](local_id lid, const node_row& row) {
    if (!row.shown())
      return true;
    auto entry = tree.entry_of(lid);
    if (entry && entry->lid == lid)
      (row.is_dir() ? dirs : files).push_back(*entry);
    return true;
  });
  auto dir = dirs.empty() ? root_lid : dirs[pick(dirs.size())].lid;
  std::string name(1, static_cast<char>('a' + pick(4)));
  node_meta meta;
  meta.mtime_ns = pick(5);
  meta.executable = chance(10);
  auto fresh
      = [&] { return content(chance(15) && content_count > 0 ? content_count : ++content_count); };
  auto file = [&]() -> const shown_entry& { return files[pick(files.size())]; };
  auto k = pick(100);
  if (k < 22)
    return edit.make_file(dir, name, chance(10) ? node_kind::symlink : node_kind::file, meta,
                          fresh())
               .index()
           == 0;
  if (k < 40 && !files.empty()) {
    auto target = file();
    auto versions = rows.versions(target.owner);
    auto base = chance(70) || versions.empty() ? stamp{} : versions[pick(versions.size())].at;
    return edit.edit(target.lid, base, meta, fresh()).index() == 0;
  }
  if (k < 48 && !files.empty())
    return edit.move(file().lid, dir, name).index() == 0;
  if (k < 60)
    return edit.make_dir(dir, name).index() == 0;
  if (k < 72 && !dirs.empty())
    return edit.move(dirs[pick(dirs.size())].lid, dir, name).index() == 0;
  if (k < 80)
    return edit.remove(!files.empty() && chance(50) ? file().lid : dir).index() == 0;
  if (k < 83 && !files.empty())
    return edit.set_meta(chance(70) ? file().lid : dir, meta).index() == 0;
  if (k < 86)
    return edit.adopt_file(dir, name, meta, fresh()).index() == 0;
  if (k < 90 && !files.empty()) {
    auto target = file();
    auto history = tree.history(target.lid);
    return edit.restore_version(target.lid, history[pick(history.size())].vid).index() == 0;
  }
  if (k < 95)
    if (auto trash = tree.trash(UINT64_MAX, 50); !trash.empty())
      return edit.restore_deleted(trash[pick(trash.size())].lid).index() == 0;
  if (k < 96 && !files.empty())
    return edit.put_back_as_two(file().lid).index() == 0;
  if (k < 97)
    return edit.graft(dir, space_id{}).index() == 0;
  if (k < 98)
    return edit.rewind(root_lid, rows.replica(1).value_or(replica_row{}).hlc, chance(50)) > 0;
  return false;
}

void world::random_intents(size_t n) {
  act(n, [&](space_edit& edit) {
    for (unsigned i = 0, count = 1 + pick(3); i < count; ++i)
      random_intent(edit, peers_[n].rows);
  });
}

void world::step() {
  now_ms_ += coarse_ ? 0 : pick(3);
  auto n = pick(peers_.size());
  auto& peer = peers_[n];
  if (options_.checkpoints) {
    for (size_t i = 0; i < peers_.size(); ++i)
      if (chance(20))
        beat(i, options_.liar && i == 1 && chance(30) ? 5u << 16 : 0);
    if (chance(10)) {
      std::vector<size_t> active;
      for (size_t i = 0; i < peers_.size(); ++i)
        if (i == 0
            || (!peers_[i].retired && !(options_.cuts && i + 1 == peers_.size() && chance(10))))
          active.push_back(i);
      checkpoint(0, active);
    }
  }
  if (options_.cuts && peers_.size() > 1 && chance(2)) {
    auto& victim = peers_[1 + pick(peers_.size() - 1)];
    auto held = applied_vector(peers_[0].rows)[victim.rid];
    if (!victim.retired)
      cut(victim.rid, held);
  }
  if (chance(15))
    hear_cuts(n);
  auto own = peer.rows.replica(peer.rid).value_or(replica_row{});
  if (chance(60)) {
    if (!peer.retired && !own.cut)
      random_intents(n);
    return;
  }
  auto which = peer.inbox;
  std::shuffle(which.begin(), which.end(), random_);
  which.resize(which.empty() ? 0 : 1 + pick(which.size()));
  if (!which.empty() && chance(30))
    which.push_back(which[pick(which.size())]); // twice
  deliver_some(n, which);
}

std::string world::run() {
  if (options_.purge)
    act(0, [](space_edit& edit) { edit.policy({{"trash_days", 0}}); });
  for (unsigned i = 0; i < options_.steps; ++i) {
    step();
    if (chance(4)) {
      auto n = pick(peers_.size());
      if (auto wrong = check(n, false); !wrong.empty())
        return "step " + std::to_string(i) + ": " + wrong;
    }
  }
  deliver_all();
  for (size_t n = 0; n < peers_.size(); ++n) {
    if (!peers_[n].inbox.empty())
      return "replica " + std::to_string(n + 1) + " could not take all";
    if (auto wrong = check(n, true); !wrong.empty())
      return wrong;
    if (state_root(peers_[n].rows) != state_root(peers_[0].rows))
      return "state roots differ";
  }
  return {};
}

} // namespace harp::play
