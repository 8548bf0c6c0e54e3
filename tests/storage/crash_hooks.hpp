// Kills a child process between any two of its writes, and takes back what it had not made durable: a crash of the program,
// or of the machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace harp::test {

enum class crash_kind : uint8_t {
  kill,       // written bytes stay (kill -9)
  torn,       // the write at which it dies is done by half
  power_loss, // of the writes since the last sync of their file a random subset is lost
};

/// What became of a child.
struct crash_end {
  bool killed = false;                // else it ran to its end
  int status = 0;                     // exit status when not killed
  std::vector<uint32_t> acknowledged; // what it told with acknowledge()
};

/// Runs `work` in a forked child that dies at its `at`-th write, sync or truncation (counted from 1). `work` returns the
/// exit status.
crash_end run_until(unsigned at, crash_kind kind, uint64_t seed, const std::function<int()>& work);

/// In the child: tells the parent that this is durable now.
void acknowledge(uint32_t number);

} // namespace harp::test
