#include "storage/fold.hpp"

#include <algorithm>
#include <tuple>

namespace harp {

namespace {

/// Keeps the greatest dot per rid, by rid.
void raise(std::vector<dot>& dots, const dot& by) {
  auto it = std::lower_bound(dots.begin(), dots.end(), by.rid,
                             [](const dot& d, replica_id rid) { return d.rid < rid; });
  if (it == dots.end() || it->rid != by.rid)
    dots.insert(it, by);
  else
    it->seq = std::max(it->seq, by.seq);
}

bool is_covered(const std::vector<dot>& seen, const dot& by) {
  auto it = std::lower_bound(seen.begin(), seen.end(), by.rid,
                             [](const dot& d, replica_id rid) { return d.rid < rid; });
  return it != seen.end() && it->rid == by.rid && it->seq >= by.seq;
}

bool gives_life(event_row::kind what) {
  return what != event_row::kind::remove && what != event_row::kind::graft;
}

bool makes(const version_row& version, const node_id& nid) {
  return (version.flags & version_adopted) != 0
         || (node_tag_of(nid) == 1 && made_node_id(version.by, version.at.idx) == nid);
}

bool is_created(const fold_input& in) {
  if (in.base.nid == root_node_id() || (in.base.flags & (node_folded | node_void)) == node_folded)
    return true;
  return std::any_of(in.events.begin(), in.events.end(),
                     [](const event_row& e) { return e.what == event_row::kind::make; })
         || std::any_of(in.versions.begin(), in.versions.end(),
                        [&](const version_row& v) { return makes(v, in.base.nid); });
}

void fold_life(node_row& row, const std::vector<event_row>& events,
               const std::vector<version_row>& versions, const version_vector& covered) {
  std::vector<dot> seen;
  for (const auto& event : events) {
    if (gives_life(event.what))
      raise(row.life, event.by);
    if (event.what == event_row::kind::remove) {
      for (const auto& d : event.seen)
        raise(seen, d);
      row.died = std::max(row.died, event.at);
    }
  }
  bool folded = (row.flags & node_folded) != 0; // else no base speaks for its versions
  for (const auto& version : versions)
    if (!folded || !covers(covered, version.by))
      raise(row.life, version.by);
  std::erase_if(row.life, [&](const dot& d) { return is_covered(seen, d); });
}

void fold_position(node_row& row, const fold_input& in) {
  for (const auto& event : in.events)
    if (event.what == event_row::kind::move && event.at > row.moved) {
      row.parent = event.parent;
      row.name = event.name;
      row.moved = event.at;
    }
}

node_meta meta_of(const version_row& version) {
  return {version.mtime_ns, version.executable, version.acting_user};
}

/// `versions` in their linear order. Adopted ones feed the register only while nothing else has.
void fold_meta(node_row& row, const std::vector<event_row>& events,
               const std::vector<version_row>& versions) {
  for (const auto& event : events)
    if (event.what == event_row::kind::set_meta && event.at > row.meta_stamp) {
      row.meta = event.meta;
      row.meta_stamp = event.at;
    }
  for (const auto& version : versions)
    if ((version.flags & version_adopted) == 0 && version.at > row.meta_stamp) {
      row.meta = meta_of(version);
      row.meta_stamp = version.at;
    }
  if (row.meta_stamp.is_zero() && !versions.empty())
    row.meta = meta_of(versions.back());
}

void fold_graft(node_row& row, const std::vector<event_row>& events) {
  row.graft = {};
  if (row.kind == node_kind::graft)
    row.kind = node_kind::dir;
  for (const auto& event : events) // by stamp: the last one stays
    if (event.what == event_row::kind::graft) {
      row.kind = node_kind::graft;
      row.graft = event.target;
    }
}

/// Versions that Restore makes: equal to the one named, if that is (still) there.
void remake_restored(std::vector<version_row>& versions, const std::vector<event_row>& events) {
  for (const auto& event : events) { // by stamp, so a Restore of a restored version finds it
    if (event.what != event_row::kind::restore || event.version.is_zero())
      continue;
    auto at = [&](const stamp& s) {
      return std::lower_bound(versions.begin(), versions.end(), s,
                              [](const version_row& v, const stamp& x) { return v.at < x; });
    };
    auto source = at(event.version);
    auto own = at(event.at);
    bool has_own = own != versions.end() && own->at == event.at;
    if (source == versions.end() || source->at != event.version) {
      if (has_own)
        versions.erase(own);
      continue;
    }
    version_row made = *source;
    made.at = event.at;
    made.by = event.by;
    made.base = {};
    made.flags
        = has_own ? own->flags & (version_safe | version_lost) : source->flags & version_safe;
    if (has_own)
      *own = made;
    else
      versions.insert(own, made);
  }
}

} // namespace

bool covers(const version_vector& covered, const dot& by) {
  auto it = covered.find(by.rid);
  return it != covered.end() && it->second >= by.seq;
}

bool is_before(const version_row& a, const version_row& b) {
  auto key = [](const version_row& v) {
    bool adopted = (v.flags & version_adopted) != 0;
    return std::tuple(!adopted, adopted ? v.mtime_ns : 0, v.at);
  };
  return key(a) < key(b);
}

void order_versions(std::vector<version_row>& versions) {
  std::sort(versions.begin(), versions.end(), is_before);
  for (auto& version : versions)
    version.flags &= static_cast<uint8_t>(~version_overtaken);
  for (size_t i = 1; i < versions.size(); ++i) {
    const auto& edit = versions[i];
    if (edit.base.is_zero() || edit.cid == versions[i - 1].cid)
      continue;
    bool seen = false;
    for (size_t j = i; j-- > 0 && versions[j].cid == versions[i - 1].cid && !seen;)
      seen = versions[j].at == edit.base;
    if (!seen)
      versions[i - 1].flags |= version_overtaken;
  }
}

node_row seed_of(const node_row& row) {
  node_row seed;
  seed.nid = row.nid;
  seed.kind = row.kind;
  seed.parent = row.parent;
  seed.name = row.name;
  seed.moved = row.moved;
  return seed;
}

folded_node fold(const fold_input& in, const version_vector& covered) {
  folded_node out{in.base, in.versions};
  auto& row = out.row;
  row.flags &= node_folded;
  row.head = {};
  remake_restored(out.versions, in.events);
  auto ordered = out.versions;
  order_versions(ordered);
  if (!ordered.empty())
    row.head = ordered.back().at;
  fold_life(row, in.events, out.versions, covered);
  fold_meta(row, in.events, ordered);
  if (row.is_dir())
    fold_graft(row, in.events);
  else
    fold_position(row, in);
  if (!is_created(in)) {
    row.flags |= node_void;
    row.life.clear();
    if (!row.is_dir()) { // what is left of it must not depend on what was once known here
      row.parent = root_lid;
      row.name.clear();
      row.moved = {};
    }
  } else if (row.nid == root_node_id()
             || (!row.life.empty() && (row.is_dir() || !row.head.is_zero()))) {
    row.flags |= node_alive; // a file whose last version was purged has nothing to live by
  }
  std::sort(ordered.begin(), ordered.end(),
            [](const version_row& a, const version_row& b) { return a.at < b.at; });
  out.versions = std::move(ordered);
  return out;
}

} // namespace harp
