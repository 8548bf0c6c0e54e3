// Random rows of every table, for round trips and model tests.
#pragma once

#include "storage/rows.hpp"

#include <random>

namespace harp::test {

class row_maker {
public:
  explicit row_maker(uint64_t seed) : random_(seed) {}

  uint64_t below(uint64_t n) { return random_() % n; }
  bool chance(unsigned percent) { return below(100) < percent; }
  std::string text(size_t max) {
    std::string out(below(max + 1), ' ');
    for (auto& c : out)
      c = static_cast<char>(random_());
    return out;
  }
  std::string name() {
    return std::string(1, static_cast<char>('a' + below(6))) + (chance(20) ? text(200) : "");
  }
  template <class Id>
  Id id() {
    Id out;
    for (auto& b : out.bytes)
      b = static_cast<uint8_t>(random_());
    return out;
  }
  stamp at() {
    return {1 + below(20), static_cast<replica_id>(1 + below(3)), static_cast<uint16_t>(below(3))};
  }
  dot by(const stamp& s) {
    return {chance(90) ? s.rid : static_cast<replica_id>(random_()), big()};
  }
  uint64_t big() { return random_() >> below(64); }
  node_meta meta() { return {static_cast<int64_t>(big()), chance(50), chance(20) ? text(64) : ""}; }
  std::vector<dot> dots() {
    std::vector<dot> out(below(5));
    for (auto& d : out)
      d = {static_cast<replica_id>(random_()), big()};
    return out;
  }

  node_row node() {
    node_row row;
    row.nid = id<node_id>();
    row.kind = static_cast<node_kind>(1 + below(4));
    row.flags = static_cast<uint8_t>(below(16));
    row.parent = big();
    row.name = name();
    row.shown_kids = big();
    row.head = chance(30) ? stamp{} : at();
    row.moved = chance(30) ? stamp{} : chance(50) ? row.head : at();
    row.meta = meta();
    row.meta_stamp = chance(30) ? stamp{} : chance(50) ? row.moved : at();
    row.died = chance(50) ? stamp{} : at();
    row.life = dots();
    if (chance(20))
      row.graft = id<space_id>();
    return row;
  }
  event_row event() {
    event_row row;
    row.at = at();
    row.by = by(row.at);
    row.what = static_cast<event_row::kind>(1 + below(6));
    switch (row.what) {
    case event_row::kind::make:
      row.meta = meta();
      [[fallthrough]];
    case event_row::kind::move:
      row.parent = big();
      row.name = name();
      break;
    case event_row::kind::remove:
      row.seen = dots();
      break;
    case event_row::kind::set_meta:
      row.meta = meta();
      break;
    case event_row::kind::restore:
      row.version = at();
      break;
    case event_row::kind::graft:
      row.target = id<space_id>();
      break;
    }
    return row;
  }
  /// Of few contents, some of which share the first half of their id.
  content_id content() {
    content_id out;
    out.bytes[0] = static_cast<uint8_t>(below(3));
    out.bytes[20] = static_cast<uint8_t>(below(2));
    return out;
  }
  version_row version() {
    version_row row;
    row.at = at();
    row.by = by(row.at);
    row.cid = content();
    row.size = big();
    row.mtime_ns = static_cast<int64_t>(big());
    row.executable = chance(50);
    row.acting_user = chance(20) ? text(64) : "";
    row.base = chance(50) ? stamp{} : at();
    row.flags = static_cast<uint8_t>(below(16));
    return row;
  }
  dir_move_row dir_move() {
    dir_move_row row;
    row.at = at();
    row.by = by(row.at);
    row.node = 1 + below(5);
    row.parent = big();
    row.name = name();
    row.old_parent = big();
    row.old_name = name();
    row.old_moved = chance(50) ? stamp{} : at();
    row.effective = chance(50);
    return row;
  }
  replica_row replica() {
    replica_row row;
    row.device = id<device_key>();
    row.role = static_cast<member_role>(below(5));
    row.user = text(30);
    row.seq = big();
    row.head_hash = id<digest256>();
    row.hlc = big();
    if (chance(30))
      row.cut = big();
    return row;
  }
  notice_row notice() {
    notice_row row;
    row.hlc = below(10);
    row.code = static_cast<notice_code>(1 + below(19));
    row.node = big();
    row.arguments.resize(below(4));
    for (auto& argument : row.arguments)
      argument = text(100);
    return row;
  }

private:
  std::mt19937_64 random_;
};

} // namespace harp::test
