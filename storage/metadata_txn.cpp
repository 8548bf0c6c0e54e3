#include "storage/metadata_txn.hpp"

#include <utility>

namespace harp {

namespace {

MDB_val to_val(std::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}
std::string_view to_view(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

[[noreturn]] void fail(const char* what, int code) {
  throw lmdb_failure(what, code);
}

} // namespace

// -- cursor ---------------------------------------------------------------------------------------

row_cursor::row_cursor(const read_txn& txn, table which) {
  if (int rc = mdb_cursor_open(txn.state_.txn, txn.state_.dbi(which), &raw_))
    fail("cannot open a cursor", rc);
}
row_cursor::~row_cursor() {
  mdb_cursor_close(raw_);
}

bool row_cursor::move(int op) {
  MDB_val key = to_val(key_);
  MDB_val value{};
  int rc = mdb_cursor_get(raw_, &key, &value, static_cast<MDB_cursor_op>(op));
  if (rc == MDB_NOTFOUND)
    return false;
  if (rc != 0)
    fail("cannot move a cursor", rc);
  key_ = to_view(key);
  value_ = to_view(value);
  return true;
}
bool row_cursor::first() {
  return move(MDB_FIRST);
}
bool row_cursor::last() {
  return move(MDB_LAST);
}
bool row_cursor::seek(std::string_view key) {
  if (key.empty())
    return first(); // LMDB takes no empty key
  key_ = key;
  return move(MDB_SET_RANGE);
}
bool row_cursor::next() {
  return move(MDB_NEXT);
}
bool row_cursor::previous() {
  return move(MDB_PREV);
}

// -- reading --------------------------------------------------------------------------------------

std::optional<std::string_view> read_txn::get(table which, std::string_view key) const {
  MDB_val k = to_val(key);
  MDB_val v{};
  int rc = mdb_get(state_.txn, state_.dbi(which), &k, &v);
  if (rc == MDB_NOTFOUND)
    return std::nullopt;
  if (rc != 0)
    fail("cannot read a row", rc);
  return to_view(v);
}

void read_txn::each_value(table which, std::string_view key,
                          const std::function<bool(std::string_view)>& visit) const {
  row_cursor cursor(*this, which);
  for (bool on = cursor.seek(key); on && cursor.key() == key; on = cursor.next())
    if (!visit(cursor.value()))
      return;
}

void read_txn::each_from(
    table which, std::string_view from,
    const std::function<bool(std::string_view, std::string_view)>& visit) const {
  row_cursor cursor(*this, which);
  for (bool on = cursor.seek(from); on; on = cursor.next())
    if (!visit(cursor.key(), cursor.value()))
      return;
}

void read_txn::each_prefix(
    table which, std::string_view prefix,
    const std::function<bool(std::string_view, std::string_view)>& visit) const {
  row_cursor cursor(*this, which);
  for (bool on = cursor.seek(prefix); on && cursor.key().starts_with(prefix); on = cursor.next())
    if (!visit(cursor.key(), cursor.value()))
      return;
}

size_t read_txn::count(table which) const {
  MDB_stat stat{};
  if (int rc = mdb_stat(state_.txn, state_.dbi(which), &stat))
    fail("cannot count rows", rc);
  return stat.ms_entries;
}

bool read_txn::overdue() const {
  return std::chrono::steady_clock::now() - state_.since > read_time_max;
}

// -- writing --------------------------------------------------------------------------------------

namespace {

/// True when `key` is behind every key of the table: then LMDB may append.
bool is_behind(const read_txn& txn, table which, std::string_view key, tail_key& tail) {
  bool by_lid = (table_specs[at(which)].flags & MDB_INTEGERKEY) != 0;
  if (!tail.known) {
    row_cursor cursor(txn, which);
    tail.empty = !cursor.last();
    tail.key.assign(tail.empty ? std::string_view{} : cursor.key());
    tail.known = true;
  }
  bool behind = tail.empty || (by_lid ? key_lid(key) > key_lid(tail.key) : key > tail.key);
  if (behind) {
    tail.key.assign(key);
    tail.empty = false;
  }
  return behind;
}

void forget_tail(tail_keys* tails, table which, std::string_view key) {
  auto& tail = (*tails)[at(which)];
  if (tail.known && tail.key == key)
    tail.known = false;
}

} // namespace

void write_txn::put(table which, std::string_view key, std::string_view value) {
  MDB_val k = to_val(key);
  MDB_val v = to_val(value);
  bool several = (table_specs[at(which)].flags & MDB_DUPSORT) != 0;
  unsigned flags = is_behind(*this, which, key, (*state_.tails)[at(which)]) ? MDB_APPEND : 0;
  if (several && flags == 0)
    flags = MDB_NODUPDATA;
  int rc = mdb_put(state_.txn, state_.dbi(which), &k, &v, flags);
  if (rc != 0 && !(several && rc == MDB_KEYEXIST))
    fail("cannot write a row", rc);
}

bool write_txn::insert(table which, std::string_view key, std::string_view value) {
  MDB_val k = to_val(key);
  MDB_val v = to_val(value);
  unsigned flags = is_behind(*this, which, key, (*state_.tails)[at(which)]) ? MDB_APPEND : 0;
  int rc = mdb_put(state_.txn, state_.dbi(which), &k, &v, flags | MDB_NOOVERWRITE);
  if (rc == MDB_KEYEXIST)
    return false;
  if (rc != 0)
    fail("cannot write a row", rc);
  return true;
}

bool write_txn::erase(table which, std::string_view key) {
  MDB_val k = to_val(key);
  forget_tail(state_.tails, which, key);
  int rc = mdb_del(state_.txn, state_.dbi(which), &k, nullptr);
  if (rc != 0 && rc != MDB_NOTFOUND)
    fail("cannot remove a row", rc);
  return rc == 0;
}

bool write_txn::erase_value(table which, std::string_view key, std::string_view value) {
  MDB_val k = to_val(key);
  MDB_val v = to_val(value);
  forget_tail(state_.tails, which, key);
  int rc = mdb_del(state_.txn, state_.dbi(which), &k, &v);
  if (rc != 0 && rc != MDB_NOTFOUND)
    fail("cannot remove a row", rc);
  return rc == 0;
}

size_t write_txn::erase_prefix(table which, std::string_view prefix, size_t limit) {
  size_t gone = 0;
  std::string key;
  while (gone < limit) {
    row_cursor cursor(*this, which);
    if (!cursor.seek(prefix) || !cursor.key().starts_with(prefix))
      break;
    key.assign(cursor.key());
    erase(which, key);
    ++gone;
  }
  return gone;
}

} // namespace harp
