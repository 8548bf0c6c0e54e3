// openat2 with RESOLVE_BENEATH | NO_SYMLINKS | NO_XDEV, statx without following.
#include "storage/safe_path.hpp"

#include <cerrno>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace harp {

namespace {

constexpr unsigned stat_mask = STATX_BASIC_STATS | STATX_BTIME;

int64_t nanoseconds(const struct statx_timestamp& at) {
  return at.tv_sec * 1'000'000'000 + at.tv_nsec;
}

disk_kind kind_of(unsigned mode, uint64_t device, uint64_t root_device) {
  if (S_ISREG(mode))
    return disk_kind::file;
  if (S_ISLNK(mode))
    return disk_kind::symlink;
  // a directory of another device is somebody else's file system; other kinds may show another device on overlays
  return S_ISDIR(mode) && device == root_device ? disk_kind::dir : disk_kind::other;
}

file_stat convert(const struct statx& raw, uint64_t root_device) {
  file_stat out;
  out.device = makedev(raw.stx_dev_major, raw.stx_dev_minor);
  out.kind = kind_of(raw.stx_mode, out.device, root_device == 0 ? out.device : root_device);
  out.inode = raw.stx_ino;
  out.links = raw.stx_nlink;
  out.born_ns = (raw.stx_mask & STATX_BTIME) != 0 ? nanoseconds(raw.stx_btime) : 0;
  out.size = out.kind == disk_kind::dir ? 0 : raw.stx_size;
  out.mtime_ns = nanoseconds(raw.stx_mtime);
  out.ctime_ns = nanoseconds(raw.stx_ctime);
  out.executable = S_ISREG(raw.stx_mode) && (raw.stx_mode & S_IXUSR) != 0;
  return out;
}

/// Every component lawful and the whole not too long: the kernel checks again, but errors become plain.
bool is_plain_path(std::string_view path) {
  if (path.size() > path_bytes_max)
    return false;
  while (!path.empty()) {
    auto cut = path.find('/');
    if (!is_component(path.substr(0, cut)))
      return false;
    if (cut == path.npos)
      return true;
    path.remove_prefix(cut + 1);
    if (path.empty())
      return false;
  }
  return true;
}

std::variant<unique_fd, storage_failure> open_below(int root, std::string_view path, int flags,
                                                    mode_t mode) {
  if (!is_plain_path(path))
    return storage_failure{EINVAL, "open below the space root: not a plain relative path"};
  std::string text = path.empty() ? "." : std::string(path);
  struct open_how how {};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  // EAGAIN: a rename ran beside the walk and the kernel could not prove that it stayed below
  for (int tries = 0; tries < 16; ++tries) {
    auto fd = ::syscall(SYS_openat2, root, text.c_str(), &how, sizeof how);
    if (fd >= 0)
      return unique_fd{static_cast<int>(fd)};
    if (errno != EAGAIN && errno != EINTR)
      break;
  }
  return file_failure("open below the space root");
}

} // namespace

std::variant<file_stat, storage_failure> stat_at(int dir_fd, std::string_view name,
                                                 uint64_t root_device) {
  if (!is_component(name) || name.size() > path_bytes_max)
    return storage_failure{EINVAL, "look at an entry: not a plain name"};
  std::string text(name);
  struct statx raw {};
  if (::statx(dir_fd, text.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, stat_mask, &raw) != 0)
    return file_failure("look at an entry");
  return convert(raw, root_device);
}

std::variant<file_stat, storage_failure> stat_of(int fd) {
  struct statx raw {};
  if (::statx(fd, "", AT_EMPTY_PATH, stat_mask, &raw) != 0)
    return file_failure("look at an open file");
  return convert(raw, 0);
}

bool is_component(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos
         && name.find('\0') == name.npos;
}

std::variant<safe_root, storage_failure> safe_root::open(const std::string& absolute_path) {
  safe_root out;
  int fd = ::open(absolute_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return file_failure("open the space root " + absolute_path);
  out.fd_ = unique_fd{fd};
  auto seen = stat_of(fd);
  if (auto* failed = std::get_if<storage_failure>(&seen))
    return *failed;
  out.device_ = std::get<file_stat>(seen).device;
  out.inode_ = std::get<file_stat>(seen).inode;
  return out;
}

std::variant<unique_fd, storage_failure> safe_root::open_dir(std::string_view path) const {
  return open_below(fd_.get(), path, O_RDONLY | O_DIRECTORY, 0);
}

std::variant<unique_fd, storage_failure> safe_root::open_file(std::string_view path, int flags,
                                                              mode_t mode) const {
  if (path.empty())
    return storage_failure{EISDIR, "open below the space root: no file named"};
  // a pipe in place of the file must not hold us
  return open_below(fd_.get(), path, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode);
}

std::variant<file_stat, storage_failure> safe_root::stat(std::string_view path) const {
  if (path.empty())
    return stat_of(fd_.get());
  auto [dir, name] = split_path(path);
  auto opened = open_dir(dir);
  if (auto* failed = std::get_if<storage_failure>(&opened))
    return *failed;
  return stat_at(std::get<unique_fd>(opened).get(), name, device_);
}

std::pair<std::string_view, std::string_view> split_path(std::string_view path) {
  auto cut = path.rfind('/');
  if (cut == path.npos)
    return {std::string_view{}, path};
  return {path.substr(0, cut), path.substr(cut + 1)};
}

std::string join_path(std::string_view dir, std::string_view name) {
  std::string out;
  out.reserve(dir.size() + 1 + name.size());
  out.append(dir);
  if (!dir.empty())
    out.push_back('/');
  out.append(name);
  return out;
}

} // namespace harp
