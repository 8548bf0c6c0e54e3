#include "storage/row_codec.hpp"

#include "storage/byte_codec.hpp"

namespace harp {

namespace {

/// The dot of an event nearly always has the rid of its stamp: then one zero byte says so.
void put_dot(byte_writer& out, const dot& by, const stamp& at) {
  out.varint(by.rid == at.rid ? 0 : uint64_t{by.rid} + 1);
  out.varint(by.seq);
}

dot get_dot(byte_reader& in, const stamp& at) {
  uint64_t rid = in.varint();
  if (rid > uint64_t{UINT32_MAX} + 1)
    in.fail();
  return {rid == 0 ? at.rid : static_cast<replica_id>(rid - 1), in.varint()};
}

void put_dots(byte_writer& out, const std::vector<dot>& dots) {
  out.varint(dots.size());
  for (const auto& d : dots) {
    out.varint(d.rid);
    out.varint(d.seq);
  }
}

std::vector<dot> get_dots(byte_reader& in) {
  std::vector<dot> out(in.count(life_dots_max, 2));
  for (auto& d : out) {
    uint64_t rid = in.varint();
    if (rid > UINT32_MAX)
      in.fail();
    d = {static_cast<replica_id>(rid), in.varint()};
  }
  return out;
}

void put_meta(byte_writer& out, const node_meta& meta) {
  out.i64(meta.mtime_ns);
  out.flag(meta.executable);
  out.blob(meta.acting_user);
}

node_meta get_meta(byte_reader& in) {
  node_meta out;
  out.mtime_ns = in.i64();
  out.executable = in.flag();
  out.acting_user = in.blob(row_text_bytes_max);
  return out;
}

/// A stamp that is often the same as `base`, or zero.
enum class stamp_form : uint8_t { zero = 0, same = 1, own = 2 };

stamp_form form_of(const stamp& s, const stamp& base) {
  if (s == stamp{})
    return stamp_form::zero;
  return s == base ? stamp_form::same : stamp_form::own;
}

void put_stamp(byte_writer& out, const stamp& s, stamp_form form) {
  if (form == stamp_form::own)
    out.id(s);
}

stamp get_stamp(byte_reader& in, unsigned form, const stamp& base) {
  if (form > 2)
    in.fail();
  if (form == static_cast<unsigned>(stamp_form::own))
    return in.id<stamp>();
  return form == static_cast<unsigned>(stamp_form::same) ? base : stamp{};
}

constexpr unsigned bits(stamp_form form) {
  return static_cast<unsigned>(form);
}

} // namespace

std::string encode(const node_row& row) {
  byte_writer out;
  auto head = form_of(row.head, {});
  auto moved = form_of(row.moved, row.head);
  auto meta = form_of(row.meta_stamp, row.moved);
  out.id(row.nid);
  out.u8(static_cast<uint8_t>(row.kind));
  out.u8(row.flags);
  out.u8(static_cast<uint8_t>(bits(head) | bits(moved) << 2 | bits(meta) << 4
                              | (row.graft.is_zero() ? 0u : 64u)
                              | (row.died == stamp{} ? 0u : 128u)));
  put_stamp(out, row.head, head);
  put_stamp(out, row.moved, moved);
  put_stamp(out, row.meta_stamp, meta);
  out.varint(row.parent);
  out.blob(row.name);
  out.varint(row.shown_kids);
  put_meta(out, row.meta);
  put_dots(out, row.life);
  if (!row.graft.is_zero())
    out.id(row.graft);
  if (row.died != stamp{})
    out.id(row.died);
  return out.take();
}

std::optional<node_row> decode_node(std::string_view bytes) {
  byte_reader in(bytes);
  node_row row;
  row.nid = in.id<node_id>();
  row.kind = static_cast<node_kind>(in.u8());
  row.flags = in.u8();
  unsigned forms = in.u8();
  row.head = get_stamp(in, forms & 3, {});
  row.moved = get_stamp(in, forms >> 2 & 3, row.head);
  row.meta_stamp = get_stamp(in, forms >> 4 & 3, row.moved);
  row.parent = in.varint();
  row.name = in.blob(row_text_bytes_max);
  row.shown_kids = in.varint();
  row.meta = get_meta(in);
  row.life = get_dots(in);
  if ((forms & 64) != 0)
    row.graft = in.id<space_id>();
  if ((forms & 128) != 0)
    row.died = in.id<stamp>();
  if (!in.done() || row.kind < node_kind::file || row.kind > node_kind::graft)
    return std::nullopt;
  return row;
}

std::string encode(const event_row& row) {
  byte_writer out;
  out.u8(static_cast<uint8_t>(row.what));
  put_dot(out, row.by, row.at);
  switch (row.what) {
  case event_row::kind::make:
    put_meta(out, row.meta);
    [[fallthrough]];
  case event_row::kind::move:
    out.varint(row.parent);
    out.blob(row.name);
    break;
  case event_row::kind::remove:
    put_dots(out, row.seen);
    break;
  case event_row::kind::set_meta:
    put_meta(out, row.meta);
    break;
  case event_row::kind::restore:
    out.id(row.version);
    break;
  case event_row::kind::graft:
    out.id(row.target);
    break;
  }
  return out.take();
}

std::optional<event_row> decode_event(const stamp& at, std::string_view bytes) {
  byte_reader in(bytes);
  event_row row;
  row.at = at;
  row.what = static_cast<event_row::kind>(in.u8());
  row.by = get_dot(in, at);
  switch (row.what) {
  case event_row::kind::make:
    row.meta = get_meta(in);
    [[fallthrough]];
  case event_row::kind::move:
    row.parent = in.varint();
    row.name = in.blob(row_text_bytes_max);
    break;
  case event_row::kind::remove:
    row.seen = get_dots(in);
    break;
  case event_row::kind::set_meta:
    row.meta = get_meta(in);
    break;
  case event_row::kind::restore:
    row.version = in.id<stamp>();
    break;
  case event_row::kind::graft:
    row.target = in.id<space_id>();
    break;
  default:
    in.fail();
  }
  return in.done() ? std::optional{row} : std::nullopt;
}

std::string encode(const version_row& row) {
  byte_writer out;
  put_dot(out, row.by, row.at);
  out.id(row.cid);
  out.varint(row.size);
  out.i64(row.mtime_ns);
  out.flag(row.executable);
  out.blob(row.acting_user);
  out.u8(row.flags);
  if (row.base != stamp{})
    out.id(row.base);
  return out.take();
}

std::optional<version_row> decode_version(const stamp& at, std::string_view bytes) {
  byte_reader in(bytes);
  version_row row;
  row.at = at;
  row.by = get_dot(in, at);
  row.cid = in.id<content_id>();
  row.size = in.varint();
  row.mtime_ns = in.i64();
  row.executable = in.flag();
  row.acting_user = in.blob(row_text_bytes_max);
  row.flags = in.u8();
  if (in.left() != 0)
    row.base = in.id<stamp>();
  return in.done() ? std::optional{row} : std::nullopt;
}

std::string encode(const dir_move_row& row) {
  byte_writer out;
  put_dot(out, row.by, row.at);
  out.varint(row.node);
  out.varint(row.parent);
  out.blob(row.name);
  out.varint(row.old_parent);
  out.blob(row.old_name);
  out.id(row.old_moved);
  out.flag(row.effective);
  return out.take();
}

std::optional<dir_move_row> decode_dir_move(const stamp& at, std::string_view bytes) {
  byte_reader in(bytes);
  dir_move_row row;
  row.at = at;
  row.by = get_dot(in, at);
  row.node = in.varint();
  row.parent = in.varint();
  row.name = in.blob(row_text_bytes_max);
  row.old_parent = in.varint();
  row.old_name = in.blob(row_text_bytes_max);
  row.old_moved = in.id<stamp>();
  row.effective = in.flag();
  return in.done() ? std::optional{row} : std::nullopt;
}

std::string encode(const replica_row& row) {
  byte_writer out;
  out.id(row.device);
  out.u8(static_cast<uint8_t>(row.role));
  out.blob(row.user);
  out.varint(row.seq);
  out.id(row.head_hash);
  out.u64(row.hlc);
  out.flag(row.cut.has_value());
  if (row.cut)
    out.varint(*row.cut);
  return out.take();
}

std::optional<replica_row> decode_replica(std::string_view bytes) {
  byte_reader in(bytes);
  replica_row row;
  row.device = in.id<device_key>();
  row.role = static_cast<member_role>(in.u8());
  row.user = in.blob(row_text_bytes_max);
  row.seq = in.varint();
  row.head_hash = in.id<digest256>();
  row.hlc = in.u64();
  if (in.flag())
    row.cut = in.varint();
  if (!in.done() || row.role > member_role::admin)
    return std::nullopt;
  return row;
}

std::string encode(const notice_row& row) {
  byte_writer out;
  out.u16(static_cast<uint16_t>(row.code));
  out.varint(row.node);
  size_t room = notice_bytes_max;
  size_t shown = std::min(row.arguments.size(), notice_arguments_max);
  out.varint(shown);
  for (size_t i = 0; i < shown; ++i) {
    auto text = std::string_view(row.arguments[i]).substr(0, room);
    room -= text.size();
    out.blob(text);
  }
  return out.take();
}

std::optional<notice_row> decode_notice(uint64_t hlc, std::string_view bytes) {
  byte_reader in(bytes);
  notice_row row;
  row.hlc = hlc;
  row.code = static_cast<notice_code>(in.u16());
  row.node = in.varint();
  row.arguments.resize(in.count(notice_arguments_max));
  for (auto& argument : row.arguments)
    argument = in.blob(notice_bytes_max);
  return in.done() ? std::optional{row} : std::nullopt;
}

} // namespace harp
