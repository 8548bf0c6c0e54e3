#include "actors/state_dir.hpp"

#include <nlohmann/json.hpp>
#include <sodium.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace harp {

namespace {

/// Where two machines could open the same directory, a lock proves nothing (quality.md R1).
bool is_network_file_system(const std::string& path) {
  struct statfs facts {};
  if (statfs(path.c_str(), &facts) != 0)
    return false;
  constexpr std::array<unsigned, 6> kinds{0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x00c36400};
  for (unsigned kind : kinds) // NFS, SMB, CIFS, SMB2, 9P, Ceph
    if (static_cast<unsigned>(facts.f_type) == kind)
      return true;
  return false;
}

bool write_file(const std::string& path, const std::string& content) {
  auto fresh = path + ".new";
  int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return false;
  bool written = fchmod(fd, 0600) == 0
                 && ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  written = ::close(fd) == 0 && written;
  return written && ::rename(fresh.c_str(), path.c_str()) == 0;
}

} // namespace

state_dir::~state_dir() {
  if (lock_ < 0)
    return;
  ::unlink((path_ + "/run.json").c_str());
  ::unlink((path_ + "/cli.token").c_str());
  ::close(lock_);
}

std::string state_dir::open(const std::string& path) {
  std::error_code error;
  bool fresh = !std::filesystem::exists(path, error);
  std::filesystem::create_directories(path, error);
  if (error)
    return "the state directory " + path + " cannot be made: " + error.message();
  if (fresh)
    std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  if (is_network_file_system(path))
    return "the state directory " + path + " is on a network file system; choose a local disk with --state";
  int lock = ::open((path + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0)
    return "the state directory " + path + " cannot be written: " + std::strerror(errno);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock);
    return "another harp runs on the state directory " + path + "; stop it or choose another with --state";
  }
  path_ = path;
  lock_ = lock;
  return {};
}

std::string state_dir::make_token() {
  std::array<unsigned char, 24> bytes{};
  randombytes_buf(bytes.data(), bytes.size());
  std::array<char, bytes.size() * 2 + 1> text{};
  sodium_bin2hex(text.data(), text.size(), bytes.data(), bytes.size());
  std::string token{text.data()};
  return write_file(path_ + "/cli.token", token) ? token : std::string{};
}

bool state_dir::write_run_file(const std::string& console_address) {
  nlohmann::ordered_json content{{"console", console_address}, {"pid", getpid()}};
  return write_file(path_ + "/run.json", content.dump() + "\n");
}

} // namespace harp
