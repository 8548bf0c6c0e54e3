// The renames of file_writer: onto a free place, in exchange for a known file, or beside it where the file system cannot
// exchange; and how a crash between them is found out (storage.md 6.4).
#include "storage/file_writer.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace harp {

namespace {

bool unsupported(int code) {
  return code == EINVAL || code == ENOSYS || code == ENOTSUP;
}

void changed(placed_file& out) {
  out.changed = true;
  out.code = EEXIST;
  out.error
      = "the place is not as it was: somebody changed it here; looked at anew before it is written";
}

void failed(placed_file& out, const char* what) {
  auto failure = file_failure(what);
  out.code = failure.code;
  out.error = failure.what;
}

/// Under this name the old file waits where names cannot be exchanged.
std::string aside_name(const std::string& temp) {
  constexpr std::string_view ending = ".tmp";
  return temp.substr(0, temp.size() - ending.size()) + "-old.tmp";
}

/// What a rename leaves as it was: everything but ctime.
bool same_but_renamed(const file_stat& a, const file_stat& b) {
  return same_bytes(a, b) && a.executable == b.executable;
}

std::optional<file_stat> look(int dir_fd, const std::string& name) {
  auto seen = stat_at(dir_fd, name, 0);
  if (auto* stat = std::get_if<file_stat>(&seen))
    return *stat;
  return std::nullopt;
}

} // namespace

void file_writer::place(placed_file& out, int dir_fd) {
  if (!out.row.displaces) {
    place_free(out, dir_fd);
  } else {
    auto there = look(dir_fd, out.row.name);
    if (!there || !untouched(*there, *out.row.displaces))
      return changed(out);
    if (exchange_)
      place_exchange(out, dir_fd);
    if (!exchange_)
      place_beside(out, dir_fd);
  }
  if (!out.placed)
    return;
  if (auto seen = look(dir_fd, out.row.name))
    out.seen = *seen;
}

void file_writer::place_free(placed_file& out, int dir_fd) {
  const char* temp = out.row.temp.c_str();
  const char* name = out.row.name.c_str();
  if (::renameat2(dir_fd, temp, dir_fd, name, RENAME_NOREPLACE) == 0) {
    out.placed = true;
    return;
  }
  if (errno == EEXIST)
    return changed(out);
  if (!unsupported(errno))
    return failed(out, "rename a finished file");
  // a link never replaces
  if (::linkat(dir_fd, temp, dir_fd, name, 0) == 0) {
    ::unlinkat(dir_fd, temp, 0);
    out.placed = true;
    return;
  }
  if (errno == EEXIST)
    return changed(out);
  failed(out, "link a finished file");
}

void file_writer::place_exchange(placed_file& out, int dir_fd) {
  const char* temp = out.row.temp.c_str();
  const char* name = out.row.name.c_str();
  if (::renameat2(dir_fd, temp, dir_fd, name, RENAME_EXCHANGE) != 0) {
    if (errno == ENOENT)
      return changed(out);
    if (unsupported(errno)) {
      exchange_ = false;
      return;
    }
    return failed(out, "exchange a finished file");
  }
  auto displaced = look(dir_fd, out.row.temp);
  if (displaced && displaced->kind == disk_kind::dir) {
    // a directory took the place in the last moment: it goes back as it was
    if (::renameat2(dir_fd, temp, dir_fd, name, RENAME_EXCHANGE) == 0)
      return changed(out);
  }
  out.placed = true;
  settle_displaced(out, dir_fd, out.row.temp);
}

void file_writer::place_beside(placed_file& out, int dir_fd) {
  std::string aside = aside_name(out.row.temp);
  const char* name = out.row.name.c_str();
  // a second name keeps the old file reachable, also for somebody who writes it right now
  if (::linkat(dir_fd, name, dir_fd, aside.c_str(), 0) != 0) {
    if (errno != EPERM && errno != ENOTSUP && errno != EMLINK)
      return errno == ENOENT ? changed(out) : failed(out, "keep the file that is replaced");
    if (::renameat2(dir_fd, name, dir_fd, aside.c_str(), RENAME_NOREPLACE) != 0
        && (!unsupported(errno) || ::renameat(dir_fd, name, dir_fd, aside.c_str()) != 0))
      return errno == ENOENT ? changed(out) : failed(out, "put the file that is replaced aside");
  }
  auto old = look(dir_fd, aside);
  if (!old || !same_but_renamed(*old, *out.row.displaces)) {
    // back under its name; with the link it never left it
    if (!look(dir_fd, out.row.name))
      ::renameat(dir_fd, aside.c_str(), dir_fd, name);
    else
      ::unlinkat(dir_fd, aside.c_str(), 0);
    return changed(out);
  }
  if (::renameat(dir_fd, out.row.temp.c_str(), dir_fd, name) != 0) {
    failed(out, "rename a finished file");
    if (!look(dir_fd, out.row.name))
      ::renameat(dir_fd, aside.c_str(), dir_fd, name);
    else
      ::unlinkat(dir_fd, aside.c_str(), 0);
    return;
  }
  out.placed = true;
  settle_displaced(out, dir_fd, aside);
}

/// The old file under `name`: removed when it is what it should be, else kept as an edit that slipped in.
void file_writer::settle_displaced(placed_file& out, int dir_fd, const std::string& name) const {
  auto old = look(dir_fd, name);
  if (!old)
    return;
  if (out.row.displaces && same_but_renamed(*old, *out.row.displaces)) {
    ::unlinkat(dir_fd, name.c_str(), 0);
    return;
  }
  out.slipped_in = name;
  out.slipped_seen = *old;
}

std::optional<placed_file> file_writer::recover(const placing_row& row) {
  auto opened = root_.open_dir(row.dir_path);
  if (!std::holds_alternative<unique_fd>(opened))
    return std::nullopt;
  int dir_fd = std::get<unique_fd>(opened).get();
  placed_file out;
  out.row = row;
  auto temp = look(dir_fd, row.temp);
  auto there = look(dir_fd, row.name);
  std::string aside = aside_name(row.temp);
  if (temp && temp->inode == row.inode) {
    // not renamed; the old file may have been on its way aside
    auto old = look(dir_fd, aside);
    if (old && !there)
      ::renameat(dir_fd, aside.c_str(), dir_fd, row.name.c_str());
    else if (old && there->inode == old->inode)
      ::unlinkat(dir_fd, aside.c_str(), 0);
    if (!old || !there || there->inode == old->inode)
      return std::nullopt;
    settle_displaced(out, dir_fd, aside);
    return out.slipped_in ? std::optional{out} : std::nullopt;
  }
  out.placed = there && there->inode == row.inode;
  if (out.placed)
    out.seen = *there;
  if (temp)
    settle_displaced(out, dir_fd, row.temp);
  else
    settle_displaced(out, dir_fd, aside);
  if (!out.placed && !out.slipped_in)
    return std::nullopt;
  if (::fsync(dir_fd) != 0)
    out.error = file_failure("sync a directory").what;
  return out;
}

bool file_writer::discard(const placing_row& row, const std::string& name, const file_stat& seen) {
  auto opened = root_.open_dir(row.dir_path);
  if (!std::holds_alternative<unique_fd>(opened))
    return false;
  int dir_fd = std::get<unique_fd>(opened).get();
  auto now = look(dir_fd, name);
  return now && untouched(*now, seen) && ::unlinkat(dir_fd, name.c_str(), 0) == 0;
}

} // namespace harp
