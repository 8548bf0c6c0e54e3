// Changes below one root as the kernel reports them: inotify on its own thread, settled, in a bounded queue (storage.md 7.1).
#pragma once

#include "storage/settle.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr size_t watch_queue_max
    = 65'536; // settled changes not taken yet; above: one `lost` for the root
inline constexpr size_t watch_dirs_max = 1'000'000;

struct watch_options {
  std::string root; // absolute
  /// Directories that need no watch (user patterns); path relative to the root. Called on the watcher's thread.
  std::function<bool(std::string_view path)> skip_dir;
  /// Called on the watcher's thread whenever take() has something new; must be quick.
  std::function<void()> wake;
};

/// Owns one thread. take(), retry(), waiting() from any thread; the destructor stops the thread and waits for it.
class watcher {
public:
  /// Starts watching; the walk that adds watches goes on in the background, and ends with one `lost` for the root, the sign
  /// for the first full scan (nothing before it is missed, nothing after it).
  static std::variant<std::unique_ptr<watcher>, std::string> start(watch_options options);
  ~watcher();
  watcher(const watcher&) = delete;
  watcher& operator=(const watcher&) = delete;

  /// Settled changes in order, at most `limit`.
  std::vector<disk_change> take(size_t limit = 4096);
  /// True while somebody still writes there (plan_guards::settling).
  [[nodiscard]] bool waiting(std::string_view path) const;
  /// The content changed while it was read: look again later.
  void retry(std::string path);
  void read_well(std::string_view path);
  /// Directories that could not be watched (limit of the kernel): check these every 5 min. At most 100 named.
  [[nodiscard]] std::vector<std::string> unwatched() const;
  [[nodiscard]] size_t watched() const;

private:
  struct parts;
  explicit watcher(std::unique_ptr<parts> p);
  std::unique_ptr<parts> parts_;
};

} // namespace harp
