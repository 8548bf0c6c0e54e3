// What becomes of stored contents with time (storage.md 6.3): garbage is collected, packs are read again and compared with
// their hashes, and what is damaged is told. In bounded steps between other work of the store.
#pragma once

#include "storage/pack_gc.hpp"
#include "storage/retention.hpp"
#include "storage/space_store.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace harp {

inline constexpr size_t mark_nodes_per_step = 256;
inline constexpr size_t scrub_bytes_per_step = 8u << 20;
inline constexpr uint32_t collect_interval_s = 24 * 3600;
inline constexpr size_t damage_told_max = 10'000;

/// A content that cannot be had from the packs any more because bytes of it are damaged, with a file it belongs to.
struct damaged_content {
  space_id space;
  local_id lid = 0;
  std::string path; // empty: of a file that is gone
  stamp vid;
  content_id cid;
  uint64_t size = 0;
};

/// A space whose contents count.
struct cared_space {
  std::shared_ptr<space_store> rows;
  bool keeper = false;             // this device keeps its history
  std::vector<content_id> pinned;  // wanted, being read, on their way
};

class content_care {
public:
  /// `packs` must outlive it. When the last collection was is remembered with them.
  explicit content_care(pack_store& packs, uint32_t scrub_every_s = scrub_interval_s);

  void set_scrub_interval(uint32_t seconds) { scrub_every_s_ = seconds; }
  /// Asked at the beginning of a collection and whenever what it knows may be old.
  void use(std::function<std::vector<cared_space>()> spaces) { spaces_ = std::move(spaces); }
  /// Told, at the end of a collection, everything that is damaged now: an empty list when nothing is.
  void tell(std::function<void(const std::vector<damaged_content>&)> told) { told_ = std::move(told); }
  /// Goes on; true when there is more to do at once. `now_s` is Unix time.
  std::variant<bool, storage_failure> step(uint32_t now_s);
  /// The next collection begins with the next step.
  void collect_now() { collected_s_ = 0; }

  [[nodiscard]] uint64_t damaged_chunks() const { return damaged_; } // found so far
  [[nodiscard]] const sweep_report& last_report() const { return report_; }

private:
  enum class phase : uint8_t { idle, marking, sweeping };
  void begin(uint32_t now_s);
  bool mark_step(uint32_t now_s);
  void mark_node(const cared_space& space, space_rows& rows, local_id lid, const node_row& row, const retention_policy& policy, uint32_t now_s);
  bool mark_content(space_rows& rows, const content_id& cid);
  bool catch_up(uint32_t now_s);
  std::optional<storage_failure> scrub_step(uint32_t now_s, bool& more);

  pack_store& packs_;
  uint32_t scrub_every_s_;
  std::function<std::vector<cared_space>()> spaces_;
  std::function<void(const std::vector<damaged_content>&)> told_;
  phase phase_ = phase::idle;
  uint32_t collected_s_ = 0;
  std::vector<cared_space> marked_;
  std::vector<uint64_t> changes_; // of each space when its marking began
  size_t space_ = 0;
  local_id next_ = 0;
  std::unique_ptr<gc_marks> marks_;
  std::unique_ptr<pack_sweep> sweep_;
  sweep_report report_;
  std::vector<damaged_content> found_;
  std::unique_ptr<pack_scrub> scrub_;
  uint64_t damaged_ = 0;
};

} // namespace harp
