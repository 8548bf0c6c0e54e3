// When a change on disk is ready to be looked at (storage.md 7.1): pure, time is an argument. The watcher drives it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr int64_t settle_closed_ms = 200;  // after CLOSE_WRITE or rename-in
inline constexpr int64_t settle_open_ms = 30'000; // written to and not closed
inline constexpr int64_t settle_pair_ms = 500;    // both halves of a rename
inline constexpr int64_t settle_gone_ms = 2'000;  // a delete may be the first half of a move
inline constexpr int64_t settle_retry_ms_max
    = 60'000; // content changed while it was hashed: 1, 2, 4 .. 60 s
inline constexpr size_t settle_entries_max = 65'536; // above: the directory is rescanned as a whole

/// What the kernel told about one entry. Paths are relative to the root.
enum class watch_event : uint8_t {
  created,
  written,
  closed,
  attributes,
  removed,
  moved_from,
  moved_to
};

/// What is ready. `moved`: `from` -> `path`, seen as one rename. `lost`: events were lost below `path`: scan that tree.
struct disk_change {
  enum class kind : uint8_t { changed, gone, moved, lost };
  kind what = kind::changed;
  std::string path;
  std::string from;
  bool is_dir = false;
  bool operator==(const disk_change&) const = default;
};

/// One space's unsettled entries. Not thread-safe.
class settle {
public:
  /// `cookie` pairs moved_from and moved_to.
  void event(int64_t now_ms, watch_event what, std::string path, bool is_dir, uint32_t cookie = 0);
  /// Events below `path` were lost.
  void lost(std::string path);
  /// The content changed while it was read: look again after 1, 2, 4 .. 60 s.
  void retry(int64_t now_ms, std::string path);
  /// The try succeeded: the next retry starts from 1 s.
  void read_well(std::string_view path);

  /// What is ready at this time, at most `limit`; present entries before absent ones, so that a move finds its other half.
  std::vector<disk_change> ready(int64_t now_ms, size_t limit = 4096);
  /// When ready() will next have something.
  [[nodiscard]] std::optional<int64_t> next_ms() const;
  /// True while this entry is being written or may be half of a move.
  [[nodiscard]] bool waiting(std::string_view path) const;
  [[nodiscard]] size_t size() const { return entries_.size(); }

private:
  struct entry {
    disk_change change;
    int64_t due_ms = 0;
    bool open = false;
  };
  void put(int64_t due_ms, disk_change change, bool open);
  void forget(std::string_view path);
  void forget_below(std::string_view path);
  void follow(const std::string& from, const std::string& to);

  std::map<std::string, entry, std::less<>> entries_; // by path
  std::set<std::pair<int64_t, std::string>> due_;
  struct move_half {
    std::string path;
    bool is_dir = false;
    int64_t until_ms = 0;
  };
  std::map<uint32_t, move_half> halves_;                // moved_from by cookie
  std::map<std::string, int64_t, std::less<>> retries_; // path -> last delay
  std::vector<disk_change> lost_;
};

} // namespace harp
