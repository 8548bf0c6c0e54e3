#include "storage/space_store.hpp"

#include "storage/byte_codec.hpp"
#include "storage/log_source.hpp"
#include "storage/space_rows_lmdb.hpp"
#include "storage/state_root.hpp"

#include <algorithm>

namespace harp {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view told_key = "told";    // context of the newest own bundle
constexpr std::string_view clock_key = "clock";  // greatest clock value given or received
constexpr std::string_view lease_key = "lease";
constexpr std::string_view beat_prefix = "beat/";
constexpr size_t recent_changes_max = 256;
constexpr std::string_view checkpoint_key = "checkpoint_dot";

std::string encode_vector(const version_vector& vv) {
  byte_writer out;
  out.varint(vv.size());
  for (const auto& [rid, seq] : vv)
    out.id(dot{rid, seq});
  return out.take();
}

version_vector decode_vector(std::string_view bytes) {
  byte_reader in{bytes};
  version_vector out;
  for (size_t left = in.count(bundle_context_max, 5); left > 0 && in.ok(); --left) {
    auto d = in.id<dot>();
    out[d.rid] = d.seq;
  }
  return out;
}

logged_bundle logged(const sealed_bundle& b) {
  return {b.content.id(), b.content.hlc, b.hash, b.raw};
}

bool has_checkpoint(const sealed_bundle& b) {
  return std::any_of(b.content.ops.begin(), b.content.ops.end(), [](const operation& op) { return std::holds_alternative<op_checkpoint>(op); });
}

void merge(std::vector<local_id>& into, const std::vector<local_id>& more) {
  into.insert(into.end(), more.begin(), more.end());
  std::sort(into.begin(), into.end());
  into.erase(std::unique(into.begin(), into.end()), into.end());
}

} // namespace

space_store::space_store(fs::path dir, const space_id& id, const signing_key& device, metadata_db db, oplog log, roster members)
  : dir_(std::move(dir)), id_(id), device_(device), db_(std::move(db)), log_(std::move(log)), members_(std::make_shared<const roster>(std::move(members))) {}

space_store::~space_store() = default;

std::variant<std::unique_ptr<space_store>, std::string> space_store::open(const fs::path& dir, const space_id& id, const device_key& founder,
                                                                          const signing_key& device) {
  std::error_code error;
  fs::create_directories(dir, error);
  auto db = metadata_db::open(dir / "meta", environment::meta);
  if (auto* broken = std::get_if<storage_failure>(&db))
    return "the database of space " + id.to_string() + " cannot be opened: " + broken->what;
  auto log = oplog::open(dir / "oplog", std::get<metadata_db>(db));
  if (auto* broken = std::get_if<storage_failure>(&log))
    return "the operation log of space " + id.to_string() + " cannot be opened: " + broken->what;
  roster members{id, founder};
  std::string trouble;
  auto broken = std::get<metadata_db>(db).read([&](const read_txn& txn) {
    auto take = [&](std::string_view raw) {
      if (auto why = members.append_signed(raw); why && trouble.empty())
        trouble = "the roster of space " + id.to_string() + " is damaged: " + *why;
    };
    txn.each_from(table::roster, {}, [&](std::string_view, std::string_view raw) {
      take(raw);
      return trouble.empty();
    });
    if (auto lease = txn.get(table::conf, lease_key); lease && trouble.empty())
      take(*lease);
  });
  if (broken || !trouble.empty())
    return broken ? broken->what : trouble;
  std::unique_ptr<space_store> out{new space_store{dir, id, device, std::move(std::get<metadata_db>(db)), std::move(std::get<oplog>(log)), std::move(members)}};
  try {
    out->load_state();
  } catch (const storage_failure& failure) {
    return "space " + id.to_string() + " cannot be read: " + failure.what;
  }
  return out;
}

void space_store::load_state() {
  read([&](const read_txn& txn, space_rows& rows) {
    settle_rows(rows);
    told_.clear();
    if (auto told = txn.get(table::conf, told_key))
      told_ = decode_vector(*told);
    uint64_t last = 0;
    if (auto clock = txn.get(table::conf, clock_key); clock && clock->size() == 8)
      last = key_number(*clock, 0, 8);
    clock_ = hybrid_clock{last};
    if (auto mark = txn.get(table::conf, checkpoint_key); mark && mark->size() == 12)
      checkpoint_ = {static_cast<replica_id>(key_number(*mark, 0, 4)), key_number(*mark, 4, 8)};
  });
}

/// What is kept beside the rows, from the rows.
void space_store::settle_rows(space_rows& rows) {
  known_ = applied_vector(rows);
  heads_.clear();
  rows.each_replica([this](replica_id rid, const replica_row& row) { heads_[rid] = row.head_hash; });
  state_root_ = harp::state_root(rows);
  settle_left_behind(rows);
}

bool space_store::recount() {
  auto before = state_root_;
  write([this](write_txn&, space_rows& rows) {
    rebuild_state_root(rows);
    settle_rows(rows);
  });
  return state_root_ != before;
}

void space_store::read(const std::function<void(const read_txn&, space_rows&)>& work) const {
  auto broken = db_.read([&](const read_txn& txn) {
    space_rows_lmdb rows{txn};
    work(txn, rows);
  });
  if (broken)
    throw *broken;
}

void space_store::write(const std::function<void(write_txn&, space_rows&)>& work) {
  auto broken = db_.write([&](write_txn& txn) {
    space_rows_lmdb rows{txn};
    work(txn, rows);
    rows.flush();
    return true;
  });
  if (broken)
    throw *broken;
}

// -- roster ----------------------------------------------------------------------------------------------------------------

std::optional<storage_failure> space_store::store_roster(const roster& grown, uint64_t from) {
  return db_.write([&](write_txn& txn) {
    auto version = from;
    for (const auto& raw : grown.entries_from(from, SIZE_MAX)) {
      if (version > grown.version()) // behind the newest entry comes the lease
        break;
      txn.put(table::roster, row_key{}.u64(version++), raw);
    }
    if (!grown.lease().empty())
      txn.put(table::conf, lease_key, grown.lease());
    return true;
  });
}

std::variant<bool, std::string> space_store::take_roster(std::span<const std::string> raws) {
  auto before = members();
  auto grown = std::make_shared<roster>(*before);
  std::optional<std::string> trouble;
  for (const auto& raw : raws) {
    trouble = grown->append_signed(raw);
    if (trouble)
      break;
  }
  bool fresh = grown->version() != before->version() || grown->lease() != before->lease();
  if (fresh) {
    change_roster(grown);
  }
  if (trouble)
    return *trouble;
  return fresh;
}

std::optional<std::string> space_store::govern(const roster_change& change, uint64_t now_ms, const signing_key& governor) {
  auto before = members();
  auto grown = std::make_shared<roster>(*before);
  auto made = grown->append_change(change, now_ms, governor);
  if (auto* why = std::get_if<std::string>(&made))
    return *why;
  change_roster(grown);
  return std::nullopt;
}

void space_store::change_roster(std::shared_ptr<const roster> grown) {
  auto before = members();
  if (auto broken = store_roster(*grown, before->version() + 1))
    throw *broken;
  members_ = std::move(grown);
  read([this](const read_txn&, space_rows& rows) { settle_left_behind(rows); });
  cut_revoked(*before);
  if (auto change = finish_rebase(ms_of_hlc(clock_.last())); listener_ && (!change.made.empty() || change.look_anew))
    listener_(change);
}

void space_store::cut_revoked(const roster& before) {
  auto now = members();
  for (const auto& member : now->members())
    if (member.cut && before.cut_of(member.rid) != member.cut)
      if (auto change = cut_replica(member.rid, *member.cut, ms_of_hlc(clock_.last())); listener_)
        listener_(change);
}

space_change space_store::cut_replica(replica_id rid, uint64_t seq, uint64_t now_ms) {
  space_change out;
  apply_result result;
  auto cuts_before = cuts();
  auto seq_before = known_.contains(rid) ? known_.at(rid) : 0;
  const auto now = members();
  const auto* author = now->member(rid);
  bool mine = author != nullptr && author->device == device_.public_key(); // under this number or an earlier one
  auto broken = db_.write([&](write_txn& txn) {
    space_rows_lmdb rows{txn};
    log_source history{log_, txn};
    out = {};
    result = cut(rows, rid, seq, {mine ? rid : own(), &history});
    settle_rows(rows);
    rows.flush();
    if (mine)
      keep_own_work(txn, rows, result.touched, rid, seq_before, result.voided, out);
    return true;
  });
  if (broken)
    throw *broken;
  out.touched = std::move(result.touched);
  merge(out.touched, result.moved_dirs);
  note_change(out.touched);
  note_cuts(cuts_before, out);
  make_anew(result.voided, now_ms, out);
  return out;
}

void space_store::note_change(const std::vector<local_id>& touched) {
  recent_.emplace_back(changes_ + 1, touched);
  if (recent_.size() > recent_changes_max)
    recent_.pop_front();
  ++changes_;
}

std::optional<std::set<local_id>> space_store::touched_since(uint64_t count) const {
  std::set<local_id> out;
  if (changes_ == count)
    return out;
  if (recent_.empty() || recent_.front().first > count + 1)
    return std::nullopt;
  for (const auto& [number, touched] : recent_)
    if (number > count)
      out.insert(touched.begin(), touched.end());
  return out;
}

bundle_ptr space_store::find_bundle(const dot& id) const {
  bundle_ptr out;
  auto broken = log_.each(db_, id.rid, id.seq, id.seq, SIZE_MAX, [&](uint64_t, std::string raw) {
    auto decoded = decode_bundle(raw);
    if (auto* sealed = std::get_if<sealed_bundle>(&decoded))
      out = std::make_shared<const sealed_bundle>(std::move(*sealed));
    return false;
  });
  if (broken)
    throw *broken;
  return out;
}

std::optional<signed_beat> space_store::make_beat(uint64_t now_ms) {
  auto rid = own();
  if (rid == 0)
    return std::nullopt;
  auto hlc = clock_.now(now_ms);
  write([&](write_txn& txn, space_rows&) { txn.put(table::conf, clock_key, row_key{}.u64(hlc)); });
  auto known = known_.find(rid);
  return signed_beat::make(id_, {rid, known == known_.end() ? 0 : known->second}, hlc, device_);
}

void space_store::keep_beat(const signed_beat& beat) {
  byte_writer bytes;
  beat.encode(bytes);
  write([&](write_txn& txn, space_rows&) { txn.put(table::conf, std::string{beat_prefix} + std::to_string(beat.rid), bytes.bytes()); });
}

std::vector<signed_beat> space_store::beats() const {
  std::vector<signed_beat> out;
  read([&](const read_txn& txn, space_rows&) {
    txn.each_prefix(table::conf, beat_prefix, [&](std::string_view, std::string_view value) {
      byte_reader in{value};
      auto beat = signed_beat::decode(in);
      if (in.done())
        out.push_back(beat);
      return true;
    });
  });
  return out;
}

// -- operations --------------------------------------------------------------------------------------------------------------

space_change space_store::apply(std::span<const bundle_ptr> bundles, uint64_t now_ms) {
  space_change out;
  std::vector<logged_bundle> batch;
  std::vector<arriving_bundle> arriving;
  auto seen = known_;
  for (const auto& b : bundles) {
    if (b->content.seq != seen[b->content.rid] + 1)
      continue; // known already, or out of turn: the gate before us asks again
    seen[b->content.rid] = b->content.seq;
    clock_.receive(b->content.hlc, now_ms);
    batch.push_back(logged(*b));
    arriving.push_back({&b->content, b->hash});
    out.taken.push_back(b);
  }
  if (batch.empty())
    return out;
  apply_result result;
  auto cuts_before = cuts();
  auto rid = own();
  auto seq_before = known_.contains(rid) ? known_.at(rid) : 0;
  if (std::any_of(out.taken.begin(), out.taken.end(), [](const bundle_ptr& b) { return has_checkpoint(*b); }))
    if (auto failure = log_.start_segment(db_))
      throw *failure;
  auto broken = log_.commit(db_, batch, [&](write_txn& txn) {
    space_rows_lmdb rows{txn};
    log_source history{log_, txn};
    out.look_anew = false;
    result = harp::apply(rows, arriving, {rid, &history});
    if (!result.refused.empty())
      return false;
    txn.put(table::conf, clock_key, row_key{}.u64(clock_.last()));
    if (result.checkpoint_applied)
      note_checkpoint(txn, out.taken);
    settle_rows(rows);
    rows.flush();
    if (result.checkpoint_applied && rid != 0)
      keep_own_work(txn, rows, result.touched, rid, seq_before, result.voided, out);
    return true;
  });
  if (broken || !result.refused.empty()) {
    load_state();
    if (broken)
      throw *broken;
    out.taken.clear();
    return out;
  }
  out.touched = std::move(result.touched);
  merge(out.touched, result.moved_dirs);
  note_change(out.touched);
  out.checkpoint_applied = result.checkpoint_applied;
  out.checkpoint_refused = result.checkpoint_refused;
  note_cuts(cuts_before, out);
  make_anew(result.voided, now_ms, out);
  return out;
}

bundle_ptr space_store::seal(draft_bundle draft, const digest256& previous, bool first) const {
  bundle body;
  body.space = id_;
  body.rid = draft.id.rid;
  body.seq = draft.id.seq;
  body.hlc = draft.hlc;
  body.roster_version = members()->version();
  body.previous = previous;
  if (first)
    for (const auto& [rid, seq] : known_)
      if (auto told = told_.find(rid); rid != draft.id.rid && (draft.id.seq == 1 || told == told_.end() || told->second < seq))
        body.context_delta.push_back({rid, seq});
  body.ops = std::move(draft.ops);
  auto sealed = seal_bundle(std::move(body), device_);
  if (auto* why = std::get_if<std::string>(&sealed))
    throw storage_failure{EINVAL, "an own operation cannot be signed: " + *why};
  return std::make_shared<const sealed_bundle>(std::move(std::get<sealed_bundle>(sealed)));
}

std::variant<space_change, std::string> space_store::commit(uint64_t now_ms, const local_work& work) {
  auto rid = own();
  if (is_left_behind())
    return "this device was away for too long from the space " + members()->name() + "; it waits for the governor's node to give it a new number";
  if (!may_write())
    return "this device may only read the space " + members()->name();
  space_change out;
  auto cuts_before = cuts();
  auto clock = clock_;
  auto first_hlc = clock.now(now_ms);
  auto broken = log_.commit_made(db_, [&](write_txn& txn) -> std::optional<std::vector<logged_bundle>> {
    out = {};
    space_rows_lmdb rows{txn};
    log_source history{log_, txn};
    auto previous = rows.replica(rid).value_or(replica_row{});
    space_edit edit{rows, {rid, previous.seq + 1}, first_hlc, {rid, &history}};
    work(edit, rows, txn);
    auto hash = previous.head_hash;
    std::vector<logged_bundle> batch;
    for (auto& draft : edit.take()) {
      out.made.push_back(seal(std::move(draft), hash, out.made.empty()));
      hash = out.made.back()->hash;
      batch.push_back(logged(*out.made.back()));
    }
    out.touched = edit.result().touched;
    merge(out.touched, edit.result().moved_dirs);
    out.checkpoint_applied = edit.result().checkpoint_applied;
    out.checkpoint_refused = edit.result().checkpoint_refused;
    if (!out.made.empty()) {
      if (out.checkpoint_applied)
        note_checkpoint(txn, out.made);
      set_head_hash(rows, rid, hash);
      clock = hybrid_clock{edit.last_hlc()};
      txn.put(table::conf, told_key, encode_vector(known_));
      txn.put(table::conf, clock_key, row_key{}.u64(clock.last()));
      settle_rows(rows);
    }
    rows.flush();
    return batch;
  });
  if (broken) {
    load_state();
    throw *broken;
  }
  if (!out.made.empty()) {
    clock_ = clock;
    told_ = known_;
    note_change(out.touched);
    if (out.checkpoint_applied)
      note_cuts(cuts_before, out);
  }
  return out;
}

/// Own content that a cut made void comes back as new files (storage.md 4.2).
void space_store::make_anew(const std::vector<voided_content>& lost, uint64_t now_ms, space_change& change) {
  if (lost.empty() || !may_write())
    return;
  auto done = commit(now_ms, [&](space_edit& edit, space_rows& rows, write_txn&) {
    space_tree tree{rows};
    for (const auto& one : lost) {
      local_id dir = root_lid;
      std::string_view rest = one.path;
      for (auto slash = rest.find('/'); slash != rest.npos && dir != 0; slash = rest.find('/')) {
        auto made = edit.make_dir(dir, rest.substr(0, slash));
        dir = std::holds_alternative<edit_done>(made) ? std::get<edit_done>(made).lid : 0;
        rest.remove_prefix(slash + 1);
      }
      if (dir == 0)
        dir = root_lid;
      auto name = tree.at(dir, rest) == 0 ? std::string{rest} : free_name(tree, dir, rest);
      edit.make_file(dir, name, one.kind, one.meta, {one.size, one.cid, rows.root_record(one.cid)});
    }
  });
  if (auto* more = std::get_if<space_change>(&done)) {
    merge(change.touched, more->touched);
    change.made.insert(change.made.end(), more->made.begin(), more->made.end());
  }
}

std::vector<std::string> space_store::load(const op_range& range, size_t bytes_max) const {
  std::vector<std::string> out;
  auto broken = log_.each(db_, range.rid, range.from, range.to, bytes_max, [&](uint64_t, std::string raw) {
    out.push_back(std::move(raw));
    return true;
  });
  if (broken)
    throw *broken;
  return out;
}

} // namespace harp
