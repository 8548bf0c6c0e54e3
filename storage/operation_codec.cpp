// One encoder and one decoder per operation. Type numbers are wire format: append only.
#include "storage/operation_codec.hpp"

#include "storage/bundle_codec.hpp"
#include "storage/digest.hpp"

namespace harp {

namespace {

enum class op_type : uint8_t {
  make_file = 1,
  make_dir = 2,
  adopt = 3,
  edit = 4,
  set_meta = 5,
  move = 6,
  remove = 7,
  restore = 8,
  graft = 9,
  checkpoint = 10,
  policy = 11,
};

constexpr size_t dot_bytes_min = 5; // rid 4, seq varint 1

void type(byte_writer& out, op_type value) {
  out.u8(static_cast<uint8_t>(value));
}

void put(byte_writer& out, const node_meta& meta) {
  out.i64(meta.mtime_ns);
  out.flag(meta.executable);
  out.blob(meta.acting_user);
}

void put(byte_writer& out, const content_ref& content) {
  out.varint(content.size);
  out.id(content.cid);
  out.blob(content.root);
}

void put(byte_writer& out, const std::vector<dot>& dots) {
  out.varint(dots.size());
  for (const auto& d : dots)
    out.id(d);
}

void put(byte_writer& out, const op_make_file& op) {
  type(out, op_type::make_file);
  out.id(op.parent);
  out.blob(op.name);
  out.u8(static_cast<uint8_t>(op.kind));
  put(out, op.meta);
  put(out, op.content);
}

void put(byte_writer& out, const op_make_dir& op) {
  type(out, op_type::make_dir);
  out.id(op.parent);
  out.blob(op.name);
  out.id(op.salt);
}

void put(byte_writer& out, const op_adopt& op) {
  type(out, op_type::adopt);
  out.id(op.parent);
  out.blob(op.name);
  put(out, op.meta);
  put(out, op.content);
}

void put(byte_writer& out, const op_edit& op) {
  type(out, op_type::edit);
  out.id(op.node);
  out.id(op.base);
  put(out, op.meta);
  put(out, op.content);
}

void put(byte_writer& out, const op_set_meta& op) {
  type(out, op_type::set_meta);
  out.id(op.node);
  put(out, op.meta);
}

void put(byte_writer& out, const op_move& op) {
  type(out, op_type::move);
  out.varint(op.nodes.size());
  for (const auto& node : op.nodes)
    out.id(node);
  out.id(op.parent);
  out.blob(op.name);
}

void put(byte_writer& out, const op_delete& op) {
  type(out, op_type::remove);
  out.varint(op.items.size());
  for (const auto& item : op.items) {
    out.id(item.node);
    put(out, item.seen);
  }
}

void put(byte_writer& out, const op_restore& op) {
  type(out, op_type::restore);
  out.id(op.node);
  out.id(op.version);
}

void put(byte_writer& out, const op_graft& op) {
  type(out, op_type::graft);
  out.id(op.node);
  out.id(op.target);
}

void put(byte_writer& out, const op_checkpoint& op) {
  type(out, op_type::checkpoint);
  out.varint(op.covered.size());
  for (const auto& [rid, seq] : op.covered)
    out.id(dot{rid, seq});
  out.u64(op.floor);
  out.varint(op.active.size());
  for (auto rid : op.active)
    out.u32(rid);
  out.id(op.root);
}

void put(byte_writer& out, const op_policy& op) {
  type(out, op_type::policy);
  out.varint(op.values.size());
  for (const auto& [name, value] : op.values) {
    out.blob(name);
    out.varint(value);
  }
}

std::string take_name(byte_reader& in) {
  auto name = in.blob(name_bytes_max);
  if (!is_lawful_name(name))
    in.fail();
  return std::string(in.ok() ? name : "");
}

node_meta take_meta(byte_reader& in) {
  node_meta out;
  out.mtime_ns = in.i64();
  out.executable = in.flag();
  out.acting_user = in.blob(acting_user_bytes_max);
  return out;
}

content_ref take_content(byte_reader& in) {
  content_ref out;
  out.size = in.varint();
  out.cid = in.id<content_id>();
  out.root = in.blob(inline_root_bytes_max);
  // An inline root is a link of the hash chain from the signature to the bytes (P5).
  if (!out.root.empty() && content_id_of(out.root) != out.cid)
    in.fail();
  return out;
}

/// Life dots a Delete lists: by rising rid, each rid once, none of the author's own from this bundle on.
std::vector<dot> take_seen(byte_reader& in, dot at) {
  std::vector<dot> out(in.count(bundle_context_max, dot_bytes_min));
  replica_id last = 0;
  for (auto& d : out) {
    d = in.id<dot>();
    if (d.rid <= last || d.seq == 0 || (d.rid == at.rid && d.seq >= at.seq))
      in.fail();
    last = d.rid;
  }
  return out;
}

op_make_file take_make_file(byte_reader& in) {
  op_make_file op;
  op.parent = in.id<node_id>();
  op.name = take_name(in);
  op.kind = static_cast<node_kind>(in.u8());
  if (op.kind != node_kind::file && op.kind != node_kind::symlink)
    in.fail();
  op.meta = take_meta(in);
  op.content = take_content(in);
  return op;
}

op_make_dir take_make_dir(byte_reader& in) {
  op_make_dir op;
  op.parent = in.id<node_id>();
  op.name = take_name(in);
  op.salt = in.id<stamp>();
  return op;
}

op_adopt take_adopt(byte_reader& in) {
  op_adopt op;
  op.parent = in.id<node_id>();
  op.name = take_name(in);
  op.meta = take_meta(in);
  op.content = take_content(in);
  return op;
}

op_edit take_edit(byte_reader& in) {
  op_edit op;
  op.node = in.id<node_id>();
  op.base = in.id<stamp>();
  op.meta = take_meta(in);
  op.content = take_content(in);
  return op;
}

op_set_meta take_set_meta(byte_reader& in) {
  op_set_meta op;
  op.node = in.id<node_id>();
  op.meta = take_meta(in);
  return op;
}

op_move take_move(byte_reader& in) {
  op_move op;
  op.nodes.resize(in.count(move_nodes_max, node_id::size));
  for (auto& node : op.nodes) {
    node = in.id<node_id>();
    if (node == root_node_id())
      in.fail();
  }
  if (op.nodes.empty())
    in.fail();
  op.parent = in.id<node_id>();
  op.name = take_name(in);
  return op;
}

op_delete take_delete(byte_reader& in, dot at) {
  op_delete op;
  op.items.resize(in.count(delete_items_max, node_id::size + 1));
  for (auto& item : op.items) {
    item.node = in.id<node_id>();
    if (item.node == root_node_id())
      in.fail();
    item.seen = take_seen(in, at);
  }
  if (op.items.empty())
    in.fail();
  return op;
}

op_restore take_restore(byte_reader& in) {
  op_restore op;
  op.node = in.id<node_id>();
  op.version = in.id<stamp>();
  return op;
}

op_graft take_graft(byte_reader& in) {
  op_graft op;
  op.node = in.id<node_id>();
  op.target = in.id<space_id>();
  if (op.target.is_zero())
    in.fail();
  return op;
}

op_checkpoint take_checkpoint(byte_reader& in) {
  op_checkpoint op;
  size_t covered = in.count(checkpoint_replicas_max, dot_bytes_min);
  replica_id last = 0;
  for (size_t i = 0; i < covered && in.ok(); ++i) {
    auto d = in.id<dot>();
    if (d.rid <= last || d.seq == 0)
      in.fail();
    last = d.rid;
    op.covered.emplace_hint(op.covered.end(), d.rid, d.seq);
  }
  op.floor = in.u64();
  op.active.resize(in.count(checkpoint_replicas_max, 4));
  last = 0;
  for (auto& rid : op.active) {
    rid = in.u32();
    if (rid <= last)
      in.fail();
    last = rid;
  }
  op.root = in.id<digest256>();
  return op;
}

op_policy take_policy(byte_reader& in) {
  op_policy op;
  op.values.resize(in.count(policy_values_max, 2));
  for (auto& [name, value] : op.values) {
    name = in.blob(policy_name_bytes_max);
    value = in.varint();
    if (name.empty())
      in.fail();
  }
  return op;
}

} // namespace

void encode_operation(byte_writer& out, const operation& op) {
  std::visit([&](const auto& one) { put(out, one); }, op);
}

operation decode_operation(byte_reader& in, dot at) {
  switch (static_cast<op_type>(in.u8())) {
  case op_type::make_file:
    return take_make_file(in);
  case op_type::make_dir:
    return take_make_dir(in);
  case op_type::adopt:
    return take_adopt(in);
  case op_type::edit:
    return take_edit(in);
  case op_type::set_meta:
    return take_set_meta(in);
  case op_type::move:
    return take_move(in);
  case op_type::remove:
    return take_delete(in, at);
  case op_type::restore:
    return take_restore(in);
  case op_type::graft:
    return take_graft(in);
  case op_type::checkpoint:
    return take_checkpoint(in);
  case op_type::policy:
    return take_policy(in);
  }
  in.fail();
  return op_policy{};
}

} // namespace harp
