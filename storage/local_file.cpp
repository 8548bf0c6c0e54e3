#include "storage/local_file.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace harp {

namespace fs = std::filesystem;

void unique_fd::reset() {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = -1;
}

storage_failure file_failure(std::string what, int code) {
  if (code == 0)
    code = errno;
  return {code, std::move(what) + ": " + std::strerror(code)};
}

std::variant<unique_fd, storage_failure> open_file(const fs::path& path, int flags, unsigned mode) {
  unique_fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd)
    return file_failure("cannot open " + path.string());
  return fd;
}

int64_t read_at(int fd, char* out, size_t size, uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    auto n = ::pread(fd, out + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    done += static_cast<size_t>(n);
  }
  return static_cast<int64_t>(done);
}

std::optional<storage_failure> write_at(int fd, std::string_view data, uint64_t offset) {
  while (!data.empty()) {
    auto n = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return file_failure("cannot write", n == 0 ? ENOSPC : errno);
    data.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return std::nullopt;
}

std::optional<storage_failure> sync_data(int fd) {
  if (::fdatasync(fd) != 0)
    return file_failure("cannot make written data durable");
  return std::nullopt;
}

std::optional<storage_failure> sync_dir(const fs::path& dir) {
  auto opened = open_file(dir, O_RDONLY | O_DIRECTORY);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  if (::fsync(std::get<unique_fd>(opened).get()) != 0)
    return file_failure("cannot make names durable in " + dir.string());
  return std::nullopt;
}

std::optional<uint64_t> file_bytes(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0)
    return std::nullopt;
  return static_cast<uint64_t>(st.st_size);
}

std::optional<uint64_t> free_bytes(const fs::path& path) {
  struct statvfs st {};
  if (::statvfs(path.c_str(), &st) != 0)
    return std::nullopt;
  return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
}

std::optional<std::string> network_file_system_name(uint64_t magic, std::string_view mount_type) {
  struct known {
    uint64_t magic;
    const char* name;
  };
  static constexpr std::array<known, 11> networks{{{0x6969, "NFS"},
                                                   {0x517B, "SMB"},
                                                   {0xFF534D42, "CIFS"},
                                                   {0xFE534D42, "SMB2"},
                                                   {0x5346414F, "AFS"},
                                                   {0x73757245, "Coda"},
                                                   {0x564C, "NCP"},
                                                   {0x01021997, "9P"},
                                                   {0x00C36400, "Ceph"},
                                                   {0x0BD00BD0, "Lustre"},
                                                   {0x7461636F, "OCFS2"}}};
  for (const auto& entry : networks)
    if (magic == entry.magic)
      return entry.name;
  // FUSE carries local file systems too (encryption), so only its known remote kinds are refused.
  for (auto remote :
       {"sshfs", "rclone", "s3fs", "davfs", "glusterfs", "ceph", "curlftpfs", "smbnetfs"})
    if (mount_type.starts_with("fuse.") && mount_type.substr(5).starts_with(remote))
      return std::string(mount_type);
  return std::nullopt;
}

namespace {

/// The type of the mount with this device number, as /proc/self/mountinfo has it: "id parent major:minor .. - type ..".
std::string mount_type_of(dev_t device) {
  std::ifstream mounts("/proc/self/mountinfo");
  auto wanted = std::to_string(device >> 8 & 0xfff) + ":" + std::to_string(device & 0xff);
  std::string type;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string id;
    std::string parent;
    std::string numbers;
    words >> id >> parent >> numbers;
    auto dash = line.find(" - ");
    if (numbers != wanted || dash == std::string::npos)
      continue;
    std::istringstream rest(line.substr(dash + 3));
    rest >> type;
  }
  return type;
}

} // namespace

std::optional<std::string> network_file_system(const fs::path& path) {
  struct statfs system {};
  struct stat st {};
  if (::statfs(path.c_str(), &system) != 0 || ::stat(path.c_str(), &st) != 0)
    return std::nullopt;
  auto magic = static_cast<uint64_t>(static_cast<uint32_t>(system.f_type));
  constexpr uint64_t fuse = 0x65735546;
  return network_file_system_name(magic, magic == fuse ? mount_type_of(st.st_dev) : "");
}

} // namespace harp
