// Group commit of finished files: metadata of the temp file, one sync, intent rows, then renames (storage.md 6.4).
#include "storage/file_writer.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <set>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace harp {

namespace {

timespec to_timespec(int64_t ns) {
  int64_t seconds = ns / 1'000'000'000;
  int64_t rest = ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  return {seconds, rest};
}

/// Rights of the file that is replaced stay; the exec bit follows the version.
mode_t mode_for(int dir_fd, const placing_row& row) {
  mode_t mode = 0644;
  struct stat old {};
  if (row.displaces && ::fstatat(dir_fd, row.name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0
      && S_ISREG(old.st_mode))
    mode = old.st_mode & 0777;
  mode_t exec = (mode & 0444) >> 2;
  return row.meta.executable ? mode | exec : mode & ~mode_t{0111};
}

void fail(placed_file& out, const storage_failure& why) {
  out.placed = false;
  out.code = why.code;
  out.error = why.what;
}

} // namespace

std::string temp_name(const node_id& nid, const stamp& vid) {
  std::array<uint8_t, 14> bytes{};
  for (size_t i = 0; i < 8; ++i)
    bytes[i] = static_cast<uint8_t>(vid.hlc >> (56 - 8 * i));
  for (size_t i = 0; i < 4; ++i)
    bytes[8 + i] = static_cast<uint8_t>(vid.rid >> (24 - 8 * i));
  bytes[12] = static_cast<uint8_t>(vid.idx >> 8);
  bytes[13] = static_cast<uint8_t>(vid.idx);
  return ".harp-" + nid.to_string() + "-" + to_hex(bytes.data(), bytes.size()) + ".tmp";
}

bool symlink_stays_inside(std::string_view dir_path, std::string_view target) {
  if (target.empty() || target.front() == '/' || target.size() > path_bytes_max
      || target.find('\0') != target.npos)
    return false;
  size_t depth = dir_path.empty()
                     ? 0
                     : static_cast<size_t>(std::count(dir_path.begin(), dir_path.end(), '/')) + 1;
  bool in_front = true;
  while (!target.empty()) {
    auto cut = target.find('/');
    auto part = target.substr(0, cut);
    target = cut == target.npos ? std::string_view{} : target.substr(cut + 1);
    if (part.empty() || part == ".")
      continue;
    if (part != "..")
      in_front = false;
    else if (!in_front || depth-- == 0) // behind a name it could be a symlink's parent
      return false;
  }
  return true;
}

file_writer::file_writer(const safe_root& root, intents store)
    : root_(root), store_(std::move(store)) {}

bool file_writer::add(finished_file file) {
  if (group_.empty())
    first_ = std::chrono::steady_clock::now();
  bytes_ += file.size;
  group_.push_back(std::move(file));
  return group_.size() >= group_files_max || bytes_ >= group_bytes_max;
}

bool file_writer::due(std::chrono::steady_clock::time_point now) const {
  return !group_.empty()
         && (group_.size() >= group_files_max || bytes_ >= group_bytes_max
             || now - first_ >= group_wait_max);
}

/// Length, mtime and mode before the sync, so that they are durable with the bytes.
std::optional<storage_failure> file_writer::prepare(finished_file& file, int dir_fd) const {
  const char* temp = file.row.temp.c_str();
  if (file.kind == node_kind::symlink) {
    if (!symlink_stays_inside(file.row.dir_path, file.target))
      return storage_failure{
          EPERM, "make a symlink: it would lead out of the space; it is kept in metadata only"};
    if (::symlinkat(file.target.c_str(), dir_fd, temp) != 0 && errno != EEXIST)
      return file_failure("make a symlink");
  }
  auto seen = stat_at(dir_fd, file.row.temp, root_.device());
  if (auto* failed = std::get_if<storage_failure>(&seen))
    return *failed;
  const auto& stat = std::get<file_stat>(seen);
  if (stat.kind != on_disk(file.kind) || (file.kind == node_kind::file && stat.size != file.size))
    return storage_failure{EIO, "the temp file is not what was written; it is fetched again"};
  file.row.inode = stat.inode;
  if (file.kind == node_kind::symlink)
    return std::nullopt;
  int fd = ::openat(dir_fd, temp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return file_failure("open the temp file");
  unique_fd opened{fd};
  if (::fchmod(fd, mode_for(dir_fd, file.row)) != 0 && errno != EPERM && errno != ENOTSUP)
    return file_failure("set the mode of the temp file");
  timespec times[2] = {{0, UTIME_OMIT}, to_timespec(file.row.meta.mtime_ns)};
  if (::futimens(fd, times) != 0)
    return file_failure("set the time of the temp file");
  return std::nullopt;
}

std::optional<storage_failure> file_writer::sync_each(const std::vector<int>& dir_fds) const {
  std::atomic<size_t> next{0};
  std::atomic<int> code{0};
  auto work = [&] {
    for (size_t i = next++; i < group_.size(); i = next++) {
      if (group_[i].kind == node_kind::symlink)
        continue;
      int fd = ::openat(dir_fds[i], group_[i].row.temp.c_str(),
                        O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
      // what failed in prepare() is not placed, so it needs no sync
      if (fd >= 0 && ::fdatasync(fd) != 0)
        code = errno;
      if (fd >= 0)
        ::close(fd);
    }
  };
  std::vector<std::thread> threads;
  size_t count = std::min<size_t>(parallel_syncs_max, group_.size());
  for (size_t i = 1; i < count; ++i)
    threads.emplace_back(work);
  work();
  for (auto& thread : threads)
    thread.join();
  for (const auto& path : dirty_dirs_) {
    auto dir = root_.open_dir(path);
    // a directory that is gone by now has nothing left to keep
    if (auto* fd = std::get_if<unique_fd>(&dir); fd != nullptr && ::fsync(fd->get()) != 0)
      code = errno;
  }
  if (code != 0)
    return file_failure("sync files to disk", code);
  return std::nullopt;
}

std::optional<storage_failure> file_writer::sync_group(const std::vector<int>& dir_fds) {
  if (parallel_)
    return sync_each(dir_fds);
  auto start = std::chrono::steady_clock::now();
  if (::syncfs(root_.fd()) != 0)
    return file_failure("sync the volume");
  if (std::chrono::steady_clock::now() - start > syncfs_slow)
    parallel_ = true; // somebody else writes a lot here
  return std::nullopt;
}

std::vector<placed_file> file_writer::commit() {
  std::vector<placed_file> out(group_.size());
  std::map<std::string, unique_fd> dirs;
  std::vector<int> dir_fds(group_.size(), -1);
  std::vector<placing_row> rows;
  for (size_t i = 0; i < group_.size(); ++i) {
    auto& file = group_[i];
    auto found = dirs.find(file.row.dir_path);
    if (found == dirs.end()) {
      auto opened = root_.open_dir(file.row.dir_path);
      if (auto* failed = std::get_if<storage_failure>(&opened)) {
        out[i].row = file.row;
        fail(out[i], *failed);
        continue;
      }
      found = dirs.emplace(file.row.dir_path, std::move(std::get<unique_fd>(opened))).first;
    }
    dir_fds[i] = found->second.get();
    auto failed = prepare(file, dir_fds[i]);
    out[i].row = file.row;
    if (failed)
      fail(out[i], *failed);
    else
      rows.push_back(file.row);
  }
  auto failed = sync_group(dir_fds);
  if (!failed) {
    dirty_dirs_.clear();
    if (!rows.empty() && !store_(rows))
      failed
          = storage_failure{EIO, "the rows of the group could not be stored; nothing was renamed"};
  }
  std::set<std::string> touched;
  for (size_t i = 0; i < group_.size(); ++i) {
    if (failed && out[i].error.empty())
      fail(out[i], *failed);
    if (failed || !out[i].error.empty())
      continue;
    place(out[i], dir_fds[i]);
    touched.insert(out[i].row.dir_path);
  }
  dirty_dirs_.insert(dirty_dirs_.end(), touched.begin(), touched.end());
  group_.clear();
  bytes_ = 0;
  return out;
}

bool file_writer::finish() {
  if (dirty_dirs_.empty())
    return true;
  auto kept = parallel_;
  parallel_ = true; // only directories are left: one by one is cheaper than the volume
  auto failed = sync_each({});
  parallel_ = kept;
  if (!failed)
    dirty_dirs_.clear();
  return !failed;
}

} // namespace harp
