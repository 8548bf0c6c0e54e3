// Opening, reading and durably writing local files; every failure is a value with its cause.
#pragma once

#include "storage/rows.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace harp {

/// Owns one descriptor; closes it.
class unique_fd {
public:
  unique_fd() = default;
  explicit unique_fd(int fd) : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~unique_fd() { reset(); }
  void reset();
  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_ = -1;
};

/// `what` with the text of errno (or `code`) behind it.
storage_failure file_failure(std::string what, int code = 0);

/// open(2) with O_CLOEXEC.
std::variant<unique_fd, storage_failure> open_file(const std::filesystem::path& path, int flags,
                                                   unsigned mode = 0600);
/// Up to `size` bytes from `offset`: how many there were (short only at the end of the file), or -1 with errno.
int64_t read_at(int fd, char* out, size_t size, uint64_t offset);
/// All of `data` at `offset`.
std::optional<storage_failure> write_at(int fd, std::string_view data, uint64_t offset);
std::optional<storage_failure> sync_data(int fd); // fdatasync
/// Makes names in `dir` durable (created, renamed, removed).
std::optional<storage_failure> sync_dir(const std::filesystem::path& dir);
/// The length of an open file; nothing when fstat fails.
std::optional<uint64_t> file_bytes(int fd);
/// Bytes an ordinary user may still write on the file system of `path`; nothing when it cannot be asked.
std::optional<uint64_t> free_bytes(const std::filesystem::path& path);
/// The name of the network file system that holds `path`; nothing when it is a local one. LMDB and our own locks are
/// not safe on such (R1).
std::optional<std::string> network_file_system(const std::filesystem::path& path);
/// The same for a type number of statfs(2) and the type text of /proc/self/mountinfo ("fuse.sshfs").
std::optional<std::string> network_file_system_name(uint64_t magic, std::string_view mount_type);

} // namespace harp
