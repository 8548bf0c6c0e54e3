#include "storage/disk_actions.hpp"

#include "storage/digest.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

namespace harp {

namespace {

constexpr size_t read_bytes = 1u << 20;
constexpr size_t symlink_bytes_max = 4096;

std::string words(std::string_view what) {
  return std::string{what} + ": " + std::strerror(errno);
}

action_result failed(std::string why) {
  action_result out;
  out.error = std::move(why);
  return out;
}

/// The directory of a path, opened, and the entry's name in it.
struct opened_place {
  unique_fd dir;
  std::string name;
  std::string error;
};

opened_place open_place(const safe_root& root, std::string_view path) {
  opened_place out;
  auto [dir, name] = split_path(path);
  auto opened = root.open_dir(dir);
  if (auto* failure = std::get_if<storage_failure>(&opened)) {
    out.error = failure->what;
    return out;
  }
  out.dir = std::move(std::get<unique_fd>(opened));
  out.name = name;
  return out;
}

/// Empty when the entry is still what was seen.
std::string look(const safe_root& root, const opened_place& at, const file_stat& seen, file_stat* now = nullptr) {
  auto found = stat_at(at.dir.get(), at.name, root.device());
  if (auto* failure = std::get_if<storage_failure>(&found))
    return failure->what;
  if (!untouched(std::get<file_stat>(found), seen))
    return "it was changed meanwhile; it is looked at again";
  if (now != nullptr)
    *now = std::get<file_stat>(found);
  return {};
}

/// What stands there now, for the row.
action_result done_at(const safe_root& root, std::string_view path) {
  auto now = root.stat(path);
  if (auto* failure = std::get_if<storage_failure>(&now))
    return failed(failure->what);
  action_result out;
  out.done = true;
  out.seen = std::get<file_stat>(now);
  return out;
}

std::string set_times(int fd, const char* name, int flags, int64_t mtime_ns) {
  timespec times[2]{};
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_sec = mtime_ns / 1'000'000'000;
  times[1].tv_nsec = mtime_ns % 1'000'000'000;
  if (times[1].tv_nsec < 0) {
    times[1].tv_nsec += 1'000'000'000;
    --times[1].tv_sec;
  }
  int result = name == nullptr ? futimens(fd, times) : utimensat(fd, name, times, flags);
  return result == 0 ? std::string{} : words("the time cannot be set");
}

std::string set_executable(int fd, bool executable) {
  struct stat facts {};
  if (fstat(fd, &facts) != 0)
    return words("its mode cannot be read");
  mode_t mode = facts.st_mode & 07777;
  mode_t wanted = executable ? mode | ((mode & 0444) >> 2) : mode & ~mode_t{0111}; // who may read may run
  if (mode != wanted && fchmod(fd, wanted) != 0)
    return words("its mode cannot be set");
  return {};
}

// -- one function per action -------------------------------------------------------------------------------------------------

action_result run(const safe_root& root, const do_make_dir& what) {
  auto at = open_place(root, what.path);
  if (!at.error.empty())
    return failed(at.error);
  if (mkdirat(at.dir.get(), at.name.c_str(), 0777) != 0 && errno != EEXIST)
    return failed(words("a directory cannot be made"));
  return done_at(root, what.path);
}

action_result run(const safe_root& root, const do_rename& what) {
  auto from = open_place(root, what.from);
  auto to = open_place(root, what.path);
  if (!from.error.empty() || !to.error.empty())
    return failed(from.error + to.error);
  if (auto why = look(root, from, what.seen); !why.empty())
    return failed(why);
  if (renameat2(from.dir.get(), from.name.c_str(), to.dir.get(), to.name.c_str(), RENAME_NOREPLACE) != 0)
    return failed(words("it cannot be renamed"));
  return done_at(root, what.path);
}

action_result run(const safe_root& root, const do_exchange& what) {
  auto one = open_place(root, what.other_path); // where lid is now is where the other goes
  auto two = open_place(root, what.path);
  if (!one.error.empty() || !two.error.empty())
    return failed(one.error + two.error);
  if (auto why = look(root, one, what.seen); !why.empty())
    return failed(why);
  if (auto why = look(root, two, what.other_seen); !why.empty())
    return failed(why);
  if (renameat2(one.dir.get(), one.name.c_str(), two.dir.get(), two.name.c_str(), RENAME_EXCHANGE) != 0)
    return failed(words("two entries cannot change places"));
  auto out = done_at(root, what.path);
  auto other = done_at(root, what.other_path);
  out.done = out.done && other.done;
  out.other_seen = other.seen;
  return out;
}

action_result run(const safe_root& root, const do_step_aside& what) {
  auto from = open_place(root, what.from);
  if (!from.error.empty())
    return failed(from.error);
  if (auto why = look(root, from, what.seen); !why.empty())
    return failed(why);
  if (renameat2(from.dir.get(), from.name.c_str(), root.fd(), what.temp.c_str(), RENAME_NOREPLACE) != 0)
    return failed(words("it cannot be put aside"));
  return done_at(root, what.temp);
}

action_result run(const safe_root& root, const do_set_meta& what) {
  auto at = open_place(root, what.path);
  if (!at.error.empty())
    return failed(at.error);
  if (auto why = look(root, at, what.seen); !why.empty())
    return failed(why);
  if (what.seen.kind == disk_kind::symlink) {
    if (auto why = set_times(at.dir.get(), at.name.c_str(), AT_SYMLINK_NOFOLLOW, what.meta.mtime_ns); !why.empty())
      return failed(why);
    return done_at(root, what.path);
  }
  auto opened = root.open_file(what.path, O_RDONLY);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return failed(failure->what);
  int fd = std::get<unique_fd>(opened).get();
  auto now = stat_of(fd);
  if (!std::holds_alternative<file_stat>(now) || !untouched(std::get<file_stat>(now), what.seen))
    return failed("it was changed meanwhile; it is looked at again");
  auto why = set_executable(fd, what.meta.executable);
  if (why.empty())
    why = set_times(fd, nullptr, 0, what.meta.mtime_ns);
  return why.empty() ? done_at(root, what.path) : failed(why);
}

action_result run(const safe_root& root, const do_remove_file& what) {
  auto at = open_place(root, what.path);
  if (!at.error.empty())
    return failed(at.error);
  // Out of reach first, then a second look: an edit between look and removal would be lost otherwise.
  std::string aside = ".harp-gone-" + std::to_string(what.lid) + ".tmp";
  if (auto why = look(root, at, what.seen); !why.empty())
    return failed(why);
  if (renameat2(at.dir.get(), at.name.c_str(), at.dir.get(), aside.c_str(), RENAME_NOREPLACE) != 0)
    return failed(words("it cannot be removed"));
  auto moved = stat_at(at.dir.get(), aside, root.device());
  if (!std::holds_alternative<file_stat>(moved) || !same_bytes(std::get<file_stat>(moved), what.seen)) {
    renameat2(at.dir.get(), aside.c_str(), at.dir.get(), at.name.c_str(), RENAME_NOREPLACE);
    return failed("it was changed meanwhile; it is looked at again");
  }
  if (unlinkat(at.dir.get(), aside.c_str(), 0) != 0)
    return failed(words("it cannot be removed"));
  action_result out;
  out.done = true;
  return out;
}

action_result run(const safe_root& root, const do_remove_dir& what) {
  auto at = open_place(root, what.path);
  if (!at.error.empty())
    return failed(at.error);
  if (auto why = look(root, at, what.seen); !why.empty())
    return failed(why);
  action_result out;
  out.done = unlinkat(at.dir.get(), at.name.c_str(), AT_REMOVEDIR) == 0;
  out.not_empty = !out.done && (errno == ENOTEMPTY || errno == EEXIST);
  if (!out.done && !out.not_empty)
    out.error = words("a directory cannot be removed");
  if (out.not_empty)
    out.done = true; // it stays as a leftover
  return out;
}

/// Emissions without content: only a look, the rest is the store's.
template <class Emission>
action_result looked(const safe_root& root, const Emission& what) {
  auto at = open_place(root, what.path);
  if (!at.error.empty())
    return failed(at.error);
  action_result out;
  if (auto why = look(root, at, what.seen, &out.seen); !why.empty())
    return failed(why);
  out.done = true;
  return out;
}

action_result run(const safe_root& root, const emit_meta& what) {
  return looked(root, what);
}
action_result run(const safe_root& root, const emit_move& what) {
  return looked(root, what);
}

/// Rows only, or done elsewhere.
template <class Other>
action_result run(const safe_root&, const Other&) {
  action_result out;
  out.done = true;
  return out;
}

} // namespace

read_entry read_for_emission(const safe_root& root, const std::string& path, node_kind kind, const file_stat& seen) {
  read_entry out;
  auto at = open_place(root, path);
  if (at.error.empty())
    at.error = look(root, at, seen, &out.seen);
  if (!at.error.empty()) {
    out.error = at.error;
    return out;
  }
  if (kind == node_kind::dir)
    return out;
  content_builder builder{[&out](uint32_t, const chunk_ref& chunk, std::string_view) { out.chunks.push_back(chunk.id); },
                          [&out](const chunk_id& id, std::string_view bytes) { out.segments.emplace_back(id, bytes); }};
  if (kind == node_kind::symlink) {
    std::string target(symlink_bytes_max, '\0');
    auto got = readlinkat(at.dir.get(), at.name.c_str(), target.data(), target.size());
    if (got < 0) {
      out.error = words("a symlink cannot be read");
      return out;
    }
    target.resize(static_cast<size_t>(got));
    out.segments.emplace_back(chunk_id_of(target), target); // nobody reads it out of a file again: the packs give it
    builder.feed(target);
  } else {
    auto opened = root.open_file(path, O_RDONLY);
    if (auto* failure = std::get_if<storage_failure>(&opened)) {
      out.error = failure->what;
      return out;
    }
    int fd = std::get<unique_fd>(opened).get();
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    std::string buffer(std::min<uint64_t>(read_bytes, seen.size + 1), '\0');
    for (;;) {
      auto got = ::read(fd, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0) {
        out.error = words("it cannot be read");
        return out;
      }
      if (got == 0)
        break;
      builder.feed(std::string_view{buffer}.substr(0, static_cast<size_t>(got)));
    }
    auto now = stat_of(fd);
    out.changed = !std::holds_alternative<file_stat>(now) || !untouched(std::get<file_stat>(now), seen);
  }
  if (!out.changed)
    out.changed = !look(root, at, seen).empty();
  if (out.changed) {
    out.error = "it was changed while it was read; it is looked at again";
    return out;
  }
  auto built = builder.finish();
  out.content = built.ref;
  if (out.content.root.empty())
    out.record = std::move(built.record);
  return out;
}

action_result carry_out(const safe_root& root, const plan_action& action) {
  return std::visit([&root](const auto& what) { return run(root, what); }, action);
}

std::string write_small(const safe_root& root, const do_place& place, const std::string& temp, std::string_view bytes) {
  auto at = open_place(root, place.path);
  if (!at.error.empty())
    return at.error;
  unlinkat(at.dir.get(), temp.c_str(), 0); // left by a crash
  unique_fd fd{openat(at.dir.get(), temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666)};
  if (fd.get() < 0)
    return words("a file cannot be made");
  while (!bytes.empty()) {
    auto put = ::write(fd.get(), bytes.data(), bytes.size());
    if (put < 0 && errno != EINTR)
      return words("a file cannot be written");
    bytes.remove_prefix(put > 0 ? static_cast<size_t>(put) : 0);
  }
  return {};
}

} // namespace harp
