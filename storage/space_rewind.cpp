// Rewind of a space to an earlier time (storage.md 5.4): the difference between then and now as operations.
#include "storage/checkpoint.hpp"
#include "storage/dir_moves.hpp"
#include "storage/fold.hpp"
#include "storage/op_events.hpp"
#include "storage/space_edit.hpp"

#include <algorithm>

namespace harp {

namespace {

/// A node as it was.
struct past_node {
  local_id lid = 0;
  node_row then;
  node_row now;
  size_t depth = 0;
};

class past {
public:
  past(space_rows& rows, uint64_t hlc)
      : rows_(rows), hlc_(hlc), covered_(newest_checkpoint(rows).covered) {
    auto lookup = [&](local_id lid) -> dir_state {
      auto row = rows_.node(lid).value_or(node_row{});
      return {{row.parent, row.name, row.moved}, (row.flags & node_void) != 0};
    };
    places_ = replay_dir_moves(
        rows_.dir_moves_from(stamp{}),
        [&](const dir_move_row& entry) { return entry.at.hlc <= hlc_; }, lookup);
  }

  node_row at(local_id lid, const node_row& now) {
    fold_input in{base_of(rows_, lid, now), rows_.events(lid), rows_.versions(lid)};
    auto later = [&](const auto& x) { return x.at.hlc > hlc_; };
    std::erase_if(in.events, later);
    std::erase_if(in.versions, later);
    auto then = fold(in, covered_).row;
    if (then.is_dir()) {
      auto place = places_.find(lid);
      then.parent = place == places_.end() ? now.parent : place->second.parent;
      then.name = place == places_.end() ? now.name : place->second.name;
    }
    return then;
  }
  size_t depth(local_id lid) {
    size_t out = 0;
    for (; lid != 0 && lid != root_lid; ++out) {
      auto place = places_.find(lid);
      lid = place != places_.end() ? place->second.parent
                                   : rows_.node(lid).value_or(node_row{}).parent;
    }
    return out;
  }

private:
  space_rows& rows_;
  uint64_t hlc_;
  version_vector covered_;
  std::unordered_map<local_id, dir_position> places_;
};

} // namespace

size_t space_edit::rewind(local_id dir, uint64_t hlc, bool remove_newer) {
  past before(rows_, hlc);
  std::vector<past_node> differing;
  rows_.each_node(root_lid + 1, [&](local_id lid, const node_row& now) {
    if ((now.flags & node_void) != 0)
      return true;
    auto then = before.at(lid, now);
    bool same
        = then.alive() == now.alive()
          && (!now.alive()
              || (then.head == now.head && then.parent == now.parent && then.name == now.name));
    if (!same && (tree_.is_below(lid, dir) || tree_.is_below(then.parent, dir)))
      differing.push_back({lid, then, now, before.depth(then.is_dir() ? lid : then.parent)});
    return true;
  });
  // Dirs from the top down: what they move under is in its old place already, so none moves below itself.
  std::sort(differing.begin(), differing.end(), [](const past_node& a, const past_node& b) {
    return std::tuple(!a.then.is_dir(), a.depth, a.lid)
           < std::tuple(!b.then.is_dir(), b.depth, b.lid);
  });
  size_t done = 0;
  std::vector<local_id> newer;
  for (const auto& node : differing) {
    if (!node.then.alive()) {
      newer.push_back(node.lid);
      continue;
    }
    bool moved = node.then.parent != node.now.parent || node.then.name != node.now.name;
    bool other = node.then.head != node.now.head;
    if (moved)
      push_moves({node.lid}, node.then.parent, node.then.name);
    if (other || (!moved && !node.now.alive()))
      push(op_restore{node.then.nid, other ? node.then.head : stamp{}});
    ++done;
  }
  if (remove_newer) {
    std::reverse(newer.begin(), newer.end()); // files, then dirs from the bottom up
    push_deletes(newer);
    done += newer.size();
  }
  return done;
}

} // namespace harp
