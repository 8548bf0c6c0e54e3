// A child process of a test: started with its own group and environment, watched, and never left
// behind.
#pragma once

#include "tests/e2e/place.hpp"

#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace harp::e2e {

struct spawn_options {
  std::map<std::string, std::string> environment; // the whole of it, but PATH, HOME and LANG
  std::string output;                             // file for stdout and stderr; empty: /dev/null
  std::string directory;                          // working directory; empty: the test's
  unsigned descriptors_max = 0;                   // RLIMIT_NOFILE, soft and hard; 0 = inherited
};

/// One running program. The destructor kills its whole group; the kernel kills it when the test
/// dies first.
class process {
public:
  process() = default;
  process(const std::vector<std::string>& command, const spawn_options& options);
  process(process&& other) noexcept;
  process& operator=(process&& other) noexcept;
  ~process();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool started() const { return pid_ > 0; }
  [[nodiscard]] bool running();
  void signal(int number) const;
  /// Exit code, or 128 + signal number; nothing when it still runs after `limit`.
  std::optional<int> wait(milliseconds limit);
  /// TERM, then wait; KILL after `limit`. Returns what wait() says (137 = had to be killed).
  int stop(milliseconds limit = 15s);
  void kill();

  /// User and system time of the process so far, in clock ticks as seconds.
  [[nodiscard]] double cpu_seconds() const;
  [[nodiscard]] size_t resident_bytes() const;
  [[nodiscard]] size_t descriptors() const;

private:
  pid_t pid_ = -1;
  std::optional<int> status_;
};

struct run_result {
  int status = -1; // as process::wait; 137 when the time was over
  std::string output;
};

/// Runs a command to its end.
run_result run(const std::vector<std::string>& command, spawn_options options = {},
               milliseconds limit = 30s);

} // namespace harp::e2e
