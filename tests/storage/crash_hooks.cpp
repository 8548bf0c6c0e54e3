#include "tests/storage/crash_hooks.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <random>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using harp::test::crash_kind;

/// A write that is not durable yet, with what was there before.
struct lost_write {
  int fd = -1; // a duplicate
  ino_t inode = 0;
  off_t offset = 0;
  std::string before;
  off_t size_before = 0;
  std::string bytes;
};

struct plan {
  bool armed = false;
  unsigned at = 0;
  unsigned seen = 0;
  crash_kind kind = crash_kind::kill;
  std::mt19937_64 random;
  int ack_fd = -1;
  std::vector<lost_write> pending;
};
plan& the_plan() {
  static plan p;
  return p;
}

ino_t inode_of(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_ino : 0;
}

long raw_pwrite(int fd, const void* data, size_t size, off_t offset) {
  return ::syscall(SYS_pwrite64, fd, data, size, offset);
}

/// Back to what was durable, then a random subset again in order.
void lose_unsynced(plan& p) {
  for (auto it = p.pending.rbegin(); it != p.pending.rend(); ++it) {
    raw_pwrite(it->fd, it->before.data(), it->before.size(), it->offset);
    ::syscall(SYS_ftruncate, it->fd, it->size_before);
  }
  for (const auto& one : p.pending)
    if (p.random() % 2 == 0)
      raw_pwrite(one.fd, one.bytes.data(), one.bytes.size(), one.offset);
}

[[noreturn]] void die(plan& p) {
  if (p.kind == crash_kind::power_loss)
    lose_unsynced(p);
  ::kill(::getpid(), SIGKILL);
  for (;;)
    ::pause();
}

/// Counts one step; true when this is the one to die at.
bool is_last_step() {
  auto& p = the_plan();
  return p.armed && ++p.seen == p.at;
}

void note_write(int fd, const std::string& bytes, off_t offset) {
  auto& p = the_plan();
  auto inode = inode_of(fd);
  if (!p.armed || p.kind != crash_kind::power_loss || inode == 0)
    return;
  if ((::fcntl(fd, F_GETFL) & O_DSYNC) != 0)
    return; // durable by itself
  lost_write one;
  struct stat st {};
  ::fstat(fd, &st);
  one.inode = inode;
  one.offset = offset;
  one.size_before = st.st_size;
  one.before.resize(bytes.size());
  auto n = ::syscall(SYS_pread64, fd, one.before.data(), one.before.size(), offset);
  one.before.resize(n > 0 ? static_cast<size_t>(n) : 0);
  one.bytes = bytes;
  one.fd = ::dup(fd);
  p.pending.push_back(std::move(one));
}

void note_durable(int fd) {
  auto inode = inode_of(fd);
  std::erase_if(the_plan().pending, [&](const lost_write& one) {
    if (one.inode != inode)
      return false;
    ::close(one.fd);
    return true;
  });
}

ssize_t hooked_pwrite(int fd, const void* data, size_t size, off_t offset) {
  auto& p = the_plan();
  if (!p.armed)
    return raw_pwrite(fd, data, size, offset);
  bool last = is_last_step();
  if (last && p.kind != crash_kind::torn)
    die(p);
  note_write(fd, {static_cast<const char*>(data), size}, offset);
  if (last) {
    raw_pwrite(fd, data, size / 2, offset);
    die(p);
  }
  return raw_pwrite(fd, data, size, offset);
}

ssize_t hooked_pwritev(int fd, const struct iovec* parts, int count, off_t offset) {
  std::string all;
  for (int i = 0; i < count; ++i)
    all.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  return hooked_pwrite(fd, all.data(), all.size(), offset);
}

int hooked_sync(int fd, long call) {
  auto& p = the_plan();
  if (is_last_step())
    die(p);
  auto rc = static_cast<int>(::syscall(call, fd));
  if (p.armed && rc == 0)
    note_durable(fd);
  return rc;
}

int hooked_truncate(int fd, off_t size) {
  auto& p = the_plan();
  if (is_last_step())
    die(p);
  if (p.armed)
    note_durable(fd); // lost truncations are not simulated
  return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}

} // namespace

// These stand before those of the C library for everything in the test program, LMDB included.
extern "C" {
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  return hooked_pwrite(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off_t offset) {
  return hooked_pwrite(fd, data, size, offset);
}
ssize_t pwritev(int fd, const struct iovec* parts, int count, off_t offset) {
  return hooked_pwritev(fd, parts, count, offset);
}
ssize_t writev(int fd, const struct iovec* parts, int count) {
  if (!the_plan().armed)
    return ::syscall(SYS_writev, fd, parts, count);
  auto at = ::lseek(fd, 0, SEEK_CUR);
  auto n = hooked_pwritev(fd, parts, count, at);
  if (n > 0)
    ::lseek(fd, at + n, SEEK_SET);
  return n;
}
int fdatasync(int fd) {
  return hooked_sync(fd, SYS_fdatasync);
}
int fsync(int fd) {
  return hooked_sync(fd, SYS_fsync);
}
int ftruncate(int fd, off_t size) noexcept {
  return hooked_truncate(fd, size);
}
int ftruncate64(int fd, off_t size) noexcept {
  return hooked_truncate(fd, size);
}
}

namespace harp::test {

crash_end run_until(unsigned at, crash_kind kind, uint64_t seed, const std::function<int()>& work) {
  int ends[2];
  if (::pipe(ends) != 0)
    std::abort();
  auto child = ::fork();
  if (child == 0) {
    auto& p = the_plan();
    p.at = at;
    p.kind = kind;
    p.random.seed(seed);
    p.ack_fd = ends[1];
    p.armed = true;
    int status = work();
    ::_exit(status);
  }
  ::close(ends[1]);
  crash_end out;
  for (uint32_t number = 0; ::read(ends[0], &number, sizeof number) == sizeof number;)
    out.acknowledged.push_back(number);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  out.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  out.status = WIFEXITED(status)     ? WEXITSTATUS(status)
               : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                     : -1;
  return out;
}

void acknowledge(uint32_t number) {
  static_cast<void>(::syscall(SYS_write, the_plan().ack_fd, &number, sizeof number));
}

} // namespace harp::test
