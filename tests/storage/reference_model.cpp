#include "tests/storage/reference_model.hpp"

#include "storage/digest.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <tuple>

namespace harp::reference {

namespace {

using vector_clock = version_vector;

thread_local mutant wrong_now = mutant::none;
bool is(mutant m) {
  return wrong_now == m;
}
bool other_way(const stamp& a, const stamp& b) {
  return std::tuple(a.hlc, b.rid, a.idx) < std::tuple(b.hlc, a.rid, b.idx);
}
constexpr size_t steps_max = 200; // only a mutant without cycle check needs it

bool in(const vector_clock& v, dot d) {
  auto it = v.find(d.rid);
  return it != v.end() && d.seq <= it->second;
}

struct position {
  stamp at;
  node_id parent;
  std::string name;
  dot by;
};
struct version {
  stamp at;
  dot by;
  content_id cid;
  node_meta meta;
  stamp base;
  bool adopted = false;
  stamp restored_from; // not zero: equal to that one
};
struct death {
  stamp at;
  dot by;
  std::map<replica_id, uint64_t> seen;
};
struct node {
  bool made = false;
  node_kind kind = node_kind::file;
  node_id first_parent;
  std::string first_name;
  stamp born;
  std::vector<position> moves; // files; dirs: global log
  std::vector<version> versions;
  std::vector<dot> life;
  std::vector<death> deaths;
  struct meta_event {
    stamp at;
    dot by;
    node_meta meta;
  };
  std::vector<meta_event> metas;
  std::vector<std::pair<stamp, space_id>> grafts;
};
struct dir_move {
  stamp at;
  node_id node;
  node_id parent;
  std::string name;
};

struct space {
  std::map<node_id, node> nodes;
  std::vector<dir_move> log;
  std::map<std::string, std::map<stamp, std::pair<dot, uint64_t>>> policy;
};

bool is_dir(const node_id& id) {
  return node_tag_of(id) == 2;
}
std::string tail(const node_id& id, size_t digits) {
  return blake2b("harp.name", id.view()).to_string().substr(0, digits);
}

void add_op(space& s, const bundle& b, uint16_t idx, const std::set<node_id>& unmade) {
  stamp at{b.hlc, b.rid, idx};
  dot by{b.rid, b.seq};
  const auto& op = b.ops[idx];
  auto usable = [&](const node_id& id) { return id != root_node_id() && !unmade.contains(id); };
  if (const auto* f = std::get_if<op_make_file>(&op)) {
    auto id = made_node_id(by, idx);
    if (!usable(id))
      return;
    auto& n = s.nodes[id];
    n.made = true;
    n.kind = f->kind;
    n.first_parent = f->parent;
    n.first_name = f->name;
    n.born = at;
    n.versions.push_back({at, by, f->content.cid, f->meta, {}, false, {}});
    n.life.push_back(by);
  } else if (const auto* d = std::get_if<op_make_dir>(&op)) {
    auto& n
        = s.nodes[dir_node_id(d->parent, d->name, is(mutant::salt_ignored) ? stamp{} : d->salt)];
    n.made = true;
    n.kind = node_kind::dir;
    n.first_parent = d->parent;
    n.first_name = d->name;
    n.life.push_back(by);
  } else if (const auto* a = std::get_if<op_adopt>(&op)) {
    auto& n = s.nodes[adopted_node_id(a->parent, a->name)];
    n.made = true;
    n.first_parent = a->parent;
    n.first_name = a->name;
    n.versions.push_back({at, by, a->content.cid, a->meta, {}, true, {}});
    n.life.push_back(by);
  } else if (const auto* e = std::get_if<op_edit>(&op)) {
    if (!usable(e->node) || is_dir(e->node))
      return;
    auto& n = s.nodes[e->node];
    n.versions.push_back({at, by, e->content.cid, e->meta, e->base, false, {}});
    if (!is(mutant::edit_gives_no_life))
      n.life.push_back(by);
  } else if (const auto* m = std::get_if<op_set_meta>(&op)) {
    if (!usable(m->node))
      return;
    s.nodes[m->node].metas.push_back({at, by, m->meta});
    if (!is(mutant::meta_gives_no_life))
      s.nodes[m->node].life.push_back(by);
  } else if (const auto* mv = std::get_if<op_move>(&op)) {
    for (const auto& id : mv->nodes) {
      if (!usable(id))
        continue;
      if (!is(mutant::move_gives_no_life))
        s.nodes[id].life.push_back(by);
      if (is_dir(id))
        s.log.push_back({at, id, mv->parent, mv->name});
      else
        s.nodes[id].moves.push_back({at, mv->parent, mv->name, by});
    }
  } else if (const auto* del = std::get_if<op_delete>(&op)) {
    for (const auto& item : del->items) {
      if (!usable(item.node))
        continue;
      death x{at, by, {}};
      for (const auto& seen : item.seen)
        x.seen[seen.rid] = std::max(x.seen[seen.rid], seen.seq);
      s.nodes[item.node].deaths.push_back(x);
    }
  } else if (const auto* r = std::get_if<op_restore>(&op)) {
    if (!usable(r->node))
      return;
    auto& n = s.nodes[r->node];
    if (!is(mutant::restore_gives_no_life))
      n.life.push_back(by);
    if (!is(mutant::restore_without_version) && !r->version.is_zero() && !is_dir(r->node)) {
      version v;
      v.at = at;
      v.by = by;
      v.restored_from = r->version;
      n.versions.push_back(v);
    }
  } else if (const auto* g = std::get_if<op_graft>(&op)) {
    if (usable(g->node) && is_dir(g->node) && !is(mutant::graft_ignored))
      s.nodes[g->node].grafts.emplace_back(at, g->target);
  } else if (const auto* p = std::get_if<op_policy>(&op)) {
    for (const auto& [name, value] : p->values)
      s.policy[name][at] = {by, value};
  }
}

std::vector<version> ordered(const node& n);

bool alive(const node& n) {
  if (n.kind != node_kind::dir && ordered(n).empty())
    return false;
  return n.made && std::any_of(n.life.begin(), n.life.end(), [&](const dot& d) {
           return std::none_of(n.deaths.begin(), n.deaths.end(), [&](const death& x) {
             if (is(mutant::delete_wins))
               return true;
             if (is(mutant::cover_ignores_author))
               return std::any_of(x.seen.begin(), x.seen.end(),
                                  [&](const auto& seen) { return seen.second >= d.seq; });
             auto it = x.seen.find(d.rid);
             return it != x.seen.end() && !is(mutant::delete_ignored)
                    && it->second >= d.seq + (is(mutant::cover_off_by_one) ? 1 : 0);
           });
         });
}

stamp died(const node& n) {
  stamp out;
  for (const auto& x : n.deaths)
    out = std::max(out, x.at);
  return out;
}

std::tuple<bool, int64_t, stamp> order_of(const version& v) {
  if (is(mutant::adopted_last))
    return {v.adopted, v.adopted ? v.meta.mtime_ns : 0, v.at};
  return {!v.adopted, v.adopted && !is(mutant::adopted_by_stamp) ? v.meta.mtime_ns : 0, v.at};
}

std::vector<version> ordered(const node& n) {
  std::vector<version> by_stamp = n.versions;
  std::sort(by_stamp.begin(), by_stamp.end(), [](auto& a, auto& b) { return a.at < b.at; });
  std::vector<version> out;
  for (auto v : by_stamp) {
    if (!v.restored_from.is_zero()) {
      auto from
          = std::find_if(out.begin(), out.end(), [&](auto& o) { return o.at == v.restored_from; });
      if (from == out.end())
        continue;
      v.cid = from->cid;
      v.meta = from->meta;
    }
    out.push_back(v);
  }
  std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return order_of(a) < order_of(b); });
  return out;
}

/// All that the non-void bundles say. `only`: just the part of a checkpoint.
space collect(const std::vector<bundle>& sorted, const std::function<bool(const bundle&)>& counts,
              const std::set<node_id>& purged,
              const std::vector<std::pair<node_id, vector_clock>>& forgotten) {
  std::set<node_id> made;
  for (const auto& b : sorted)
    for (uint16_t i = 0; counts(b) && i < b.ops.size(); ++i)
      if (std::holds_alternative<op_make_file>(b.ops[i]))
        made.insert(made_node_id({b.rid, b.seq}, i));
  std::set<node_id> unmade = purged;
  auto need = [&](const node_id& id) {
    if (node_tag_of(id) == 1 && !made.contains(id))
      unmade.insert(id);
  };
  for (const auto& b : sorted)
    for (const auto& op : b.ops) {
      if (const auto* e = std::get_if<op_edit>(&op))
        need(e->node);
      if (const auto* m = std::get_if<op_set_meta>(&op))
        need(m->node);
      if (const auto* r = std::get_if<op_restore>(&op))
        need(r->node);
      if (const auto* mv = std::get_if<op_move>(&op))
        std::for_each(mv->nodes.begin(), mv->nodes.end(), need);
      if (const auto* d = std::get_if<op_delete>(&op))
        for (const auto& item : d->items)
          need(item.node);
    }
  space s;
  for (const auto& b : sorted)
    for (uint16_t i = 0; counts(b) && i < b.ops.size(); ++i)
      add_op(s, b, i, unmade);
  for (const auto& [id, v] : forgotten) {
    auto& n = s.nodes[id];
    auto within = [&covered = v](const auto& x) { return in(covered, x.by); };
    std::erase_if(n.versions, within);
    std::erase_if(n.metas, within);
  }
  return s;
}

/// Void bundles, purged files and emptied tombstones, checkpoint by checkpoint.
struct judgement {
  std::map<replica_id, uint64_t> cuts;
  std::vector<std::pair<vector_clock, uint64_t>> lines;
  std::set<node_id> purged;
  std::vector<std::pair<node_id, vector_clock>> forgotten;
  uint64_t purged_before = 0;
  std::set<std::pair<stamp, node_id>> lost_moves; // folded before their dir was made (anew)

  bool counts(const bundle& b) const {
    if (auto c = cuts.find(b.rid); c != cuts.end() && b.seq > c->second && !is(mutant::cut_ignored))
      return false;
    if (is(mutant::lying_clock_believed))
      return true;
    return std::none_of(lines.begin(), lines.end(), [&](const auto& line) {
      return !in(line.first, {b.rid, b.seq}) && b.hlc <= line.second;
    });
  }
};

void judge_checkpoint(judgement& j, const op_checkpoint& c, const std::vector<bundle>& sorted) {
  for (const auto& [rid, seq] : c.covered)
    if (std::find(c.active.begin(), c.active.end(), rid) == c.active.end()) {
      auto [it, fresh] = j.cuts.emplace(rid, seq);
      it->second = std::min(it->second, seq);
    }
  auto s = collect(
      sorted,
      [&](const bundle& b) {
        return in(c.covered, {b.rid, b.seq}) && j.counts(b);
      },
      j.purged, j.forgotten);
  uint64_t days = 90;
  if (auto p = s.policy.find("trash_days"); p != s.policy.end() && !p->second.empty())
    days = p->second.rbegin()->second.second;
  uint64_t ms = c.floor >> 16;
  uint64_t kept = days * 24 * 3600 * 1000;
  uint64_t before = ms > kept ? (ms - kept) << 16 : 0;
  j.lines.emplace_back(c.covered, c.floor);
  j.purged_before = before;
  for (const auto& m : s.log)
    if (m.at.hlc <= c.floor && !s.nodes[m.node].made)
      j.lost_moves.emplace(m.at, m.node);
  for (const auto& [id, n] : s.nodes) {
    if (is_dir(id) || !n.made || alive(n) || died(n).is_zero() || died(n).hlc >= before)
      continue;
    if (is(mutant::never_purged))
      continue;
    if (node_tag_of(id) == 1 && is(mutant::purged_comes_back))
      j.forgotten.emplace_back(id, c.covered);
    else if (node_tag_of(id) == 1)
      j.purged.insert(id);
    else
      j.forgotten.emplace_back(id, c.covered);
  }
}

judgement judge(const model& m, const std::vector<bundle>& sorted) {
  judgement j;
  j.cuts = m.cuts;
  vector_clock last;
  uint64_t floor = 0;
  for (const auto& b : sorted)
    for (const auto& op : b.ops) {
      const auto* c = std::get_if<op_checkpoint>(&op);
      bool newer = c != nullptr && j.counts(b) && c->floor >= floor
                   && std::all_of(last.begin(), last.end(), [&](const auto& e) {
                        return in(c->covered, {e.first, e.second});
                      });
      if (!newer || (c->floor == floor && c->covered == last))
        continue;
      judge_checkpoint(j, *c, sorted);
      last = c->covered;
      floor = c->floor;
    }
  return j;
}

// -- the tree -------------------------------------------------------------------------------------

struct tree {
  space s;
  std::map<node_id, std::pair<node_id, std::string>> moved; // effective places of dirs

  bool made(const node_id& id) const {
    auto it = s.nodes.find(id);
    return it != s.nodes.end() && it->second.made;
  }
  std::pair<node_id, std::string> place(const node_id& id) const {
    if (auto it = moved.find(id); it != moved.end())
      return it->second;
    return first_place(id);
  }
  std::pair<node_id, std::string> first_place(const node_id& id) const {
    if (!made(id))
      return {root_node_id(), "recovered~" + tail(id, 6)};
    const auto& n = s.nodes.at(id);
    return {n.first_parent, n.first_name};
  }
  void replay() {
    if (!is(mutant::dir_moves_as_they_come))
      std::stable_sort(s.log.begin(), s.log.end(), [](auto& a, auto& b) {
        return is(mutant::tie_break_dropped) ? other_way(a.at, b.at) : a.at < b.at;
      });
    for (const auto& m : s.log) {
      bool fits = made(m.node);
      for (auto up = m.parent; fits && up != root_node_id() && !is(mutant::no_cycle_check);
           up = is(mutant::cycle_check_of_first_places) ? first_place(up).first : place(up).first)
        fits = up != m.node;
      if (fits)
        moved[m.node] = {m.parent, m.name};
    }
  }
  std::string path(node_id id) const {
    std::string out;
    for (size_t n = 0; id != root_node_id() && n < steps_max; id = place(id).first, ++n)
      out = "/" + place(id).second + out;
    return out;
  }
  std::tuple<stamp, node_id, std::string> file_place(const node_id& id) const {
    const auto& n = s.nodes.at(id);
    position best{n.born, n.first_parent, n.first_name, {}};
    for (const auto& p : n.moves)
      if (is(mutant::first_move_wins)     ? best.at == n.born || p.at < best.at
          : is(mutant::tie_break_dropped) ? other_way(best.at, p.at)
                                          : p.at > best.at)
        best = p;
    return {best.at, best.parent, best.name};
  }
};

std::string text(const stamp& s) {
  return std::to_string(s.hlc) + "." + std::to_string(s.rid) + "." + std::to_string(s.idx);
}
std::string text(const node_meta& m) {
  return std::to_string(m.mtime_ns) + (m.executable ? "x" : "-") + m.acting_user;
}

node_meta meta_of(const node& n, const std::vector<version>& versions) {
  stamp at;
  node_meta out;
  if (!versions.empty())
    out = versions.back().meta; // only adopted ones: the last
  auto feed = [&](const stamp& when, const node_meta& m) {
    if (is(mutant::first_meta_wins) ? at.is_zero() || when < at : when > at) {
      at = when;
      out = m;
    }
  };
  for (const auto& v : versions)
    if (!v.adopted)
      feed(v.at, v.meta);
  for (const auto& m : n.metas)
    feed(m.at, m.meta);
  return out;
}

std::string slot_line(const tree& t, std::vector<node_id> members) {
  std::sort(members.begin(), members.end());
  struct line {
    version v;
    bool overtaken = false;
    bool current = false;
  };
  std::vector<line> history;
  std::tuple<bool, int64_t, stamp, stamp> newest;
  node_id owner{};
  for (const auto& id : members) {
    auto versions = ordered(t.s.nodes.at(id));
    auto arrival = std::get<0>(t.file_place(id));
    const auto& last = versions.back();
    auto key = std::tuple_cat(order_of(last), std::tuple(last.at));
    if (!last.adopted || !arrival.is_zero())
      key = {true, 0, last.adopted ? arrival : std::max(arrival, last.at), last.at};
    if (is(mutant::owner_by_version_only))
      key = std::tuple_cat(order_of(last), std::tuple(last.at));
    if (owner == node_id{} || (key >= newest && !is(mutant::owner_by_node))) {
      owner = id;
      newest = key;
    }
    for (size_t i = 0; i < versions.size(); ++i) {
      bool lost = false;
      if (i + 1 < versions.size()) {
        const auto& next = versions[i + 1];
        bool judged = !next.base.is_zero() && next.cid != versions[i].cid;
        bool seen = false;
        for (size_t k = i + 1; k-- > 0 && versions[k].cid == versions[i].cid;)
          seen |= versions[k].at == next.base;
        lost = is(mutant::always_overtaken) ? judged
                                            : judged && !seen && !is(mutant::never_overtaken);
      }
      history.push_back({versions[i], lost, false});
    }
  }
  auto head = ordered(t.s.nodes.at(owner)).back();
  for (auto& l : history)
    l.current = l.v.at == head.at;
  std::stable_sort(history.begin(), history.end(),
                   [](auto& a, auto& b) { return order_of(a.v) < order_of(b.v); });
  std::vector<line> runs;
  for (const auto& l : history) {
    if (runs.empty() || runs.back().v.cid != l.v.cid || is(mutant::equal_versions_kept))
      runs.push_back(l);
    else if (!runs.back().current)
      runs.back() = l;
  }
  std::string out = t.s.nodes.at(owner).kind == node_kind::symlink ? "link" : "file";
  for (const auto& id : members)
    out += " " + id.to_string();
  out += " " + head.cid.to_string().substr(0, 12) + " "
         + text(meta_of(t.s.nodes.at(owner), ordered(t.s.nodes.at(owner))));
  for (const auto& l : runs)
    out += "\n  " + text(l.v.at) + " " + l.v.cid.to_string().substr(0, 12)
           + (l.overtaken ? " overtaken" : "") + (l.current ? " current" : "");
  return out;
}

} // namespace

view view_of(const model& m) {
  wrong_now = m.wrong;
  auto sorted = m.bundles;
  std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) {
    if (is(mutant::dir_moves_as_they_come))
      return std::tuple(a.rid, a.seq) < std::tuple(b.rid, b.seq);
    return is(mutant::tie_break_dropped)
               ? std::tuple(a.hlc, b.rid, a.seq) < std::tuple(b.hlc, a.rid, b.seq)
               : std::tuple(a.hlc, a.rid, a.seq) < std::tuple(b.hlc, b.rid, b.seq);
  });
  auto j = judge(m, sorted);
  tree t;
  t.s = collect(
      sorted, [&](const bundle& b) { return j.counts(b); }, j.purged, j.forgotten);
  std::erase_if(t.s.log, [&](const dir_move& x) { return j.lost_moves.contains({x.at, x.node}); });
  t.replay();
  std::set<node_id> shown{root_node_id()};
  auto up = [&](node_id id) {
    for (; shown.insert(id).second; id = t.place(id).first)
      if (is(mutant::dead_folder_hides)) {
        auto at = t.s.nodes.find(id);
        if (at == t.s.nodes.end() || !alive(at->second))
          shown.erase(id);
        return;
      }
  };
  std::map<std::string, std::vector<node_id>> slots;
  view out;
  for (const auto& [id, n] : t.s.nodes) {
    if (alive(n) && is_dir(id)) {
      up(id);
    } else if (alive(n)) {
      auto [at, parent, name] = t.file_place(id);
      up(parent);
      slots[t.path(parent) + "/" + name].push_back(id);
    } else if (n.made && !died(n).is_zero() && died(n).hlc >= j.purged_before
               && (is_dir(id) || !ordered(n).empty())) {
      out["trash:" + id.to_string()] = text(died(n));
    }
  }
  std::map<std::string, std::vector<node_id>> groups;
  for (const auto& id : shown)
    groups[t.path(id)].push_back(id);
  if (is(mutant::dead_dirs_in_groups))
    for (const auto& [id, n] : t.s.nodes)
      if (is_dir(id) && !shown.contains(id) && groups.contains(t.path(id)))
        groups[t.path(id)].push_back(id);
  for (auto& [path, ids] : groups) {
    std::sort(ids.begin(), ids.end());
    const node* first = t.s.nodes.contains(ids[0]) ? &t.s.nodes.at(ids[0]) : nullptr;
    out[path] = first != nullptr && !first->grafts.empty() ? "graft" : "dir";
    for (const auto& id : ids)
      out[path] += " " + id.to_string();
    out[path] += " " + text(first != nullptr ? meta_of(*first, {}) : node_meta{});
  }
  for (auto& [path, ids] : slots) {
    auto where = path;
    auto smallest = *std::min_element(ids.begin(), ids.end());
    for (size_t digits = 6; groups.contains(path)
                            && (where == path || slots.contains(where) || groups.contains(where));
         digits += 2)
      where = path + "~" + tail(smallest, digits);
    if (is(mutant::folder_gives_way) && where != path)
      where = path;
    out[where] = slot_line(t, ids);
  }
  return out;
}

} // namespace harp::reference
