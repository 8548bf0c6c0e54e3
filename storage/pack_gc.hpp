// Collection of chunks nobody refers to any more, rewriting of thin packs, and the scrub (storage.md 6.3).
#pragma once

#include "storage/pack_store.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace harp {

inline constexpr uint32_t unreferenced_s_min
    = 24 * 3600; // a chunk stays that long after it was found unreferenced
inline constexpr uint32_t pack_live_percent_min = 60;        // sealed packs below it are rewritten
inline constexpr uint32_t scrub_interval_s = 30 * 24 * 3600; // each pack is read whole that often
inline constexpr size_t sweep_rows_per_step = 4096;

/// The chunks that must stay: retained versions with their manifests, pins, transfers. 16 B each, about 15 MB per TB.
class gc_marks {
public:
  void add(const chunk_id& id);
  /// Sorts; call after the last add, and again after further ones.
  void close();
  [[nodiscard]] bool contains(const chunk_id& id) const;
  [[nodiscard]] size_t size() const { return marks_.size(); }

private:
  using prefix = std::array<uint8_t, 16>;
  std::vector<prefix> marks_;
};

/// What one collection did.
struct sweep_report {
  uint64_t removed = 0;     // chunks dropped from the index
  uint64_t waiting = 0;     // unreferenced, not long enough
  uint64_t bytes_freed = 0; // files removed
  uint32_t packs_rewritten = 0;
  std::vector<chunk_id>
      damaged; // found while rewriting: their pack stays; fetch them again (at most damaged_max)
};
inline constexpr size_t damaged_max = 10'000;

/// One collection in steps, run by the owner of the packs between other work, so that no step takes long. A chunk put or
/// kept (pack_store::keep) between marking and sweeping starts its 24 h anew and is not lost.
class pack_sweep {
public:
  /// `now_s` is Unix time. Both must outlive the sweep.
  pack_sweep(pack_store& store, const gc_marks& marks, uint32_t now_s);
  /// Goes on; true when all is done. After a failure the sweep is over; what it did so far is sound.
  std::variant<bool, storage_failure> step();
  [[nodiscard]] const sweep_report& report() const { return report_; }

private:
  std::optional<storage_failure> walk_step();
  void judge(const chunk_id& id, pack_row row);
  std::optional<storage_failure> rewrite(uint32_t pack);

  pack_store& store_;
  const gc_marks& marks_;
  uint32_t now_s_;
  chunk_id next_;
  bool walked_ = false;
  std::map<uint32_t, uint64_t> live_; // bytes per pack; one entry per 256 MiB
  std::vector<uint32_t> thin_;
  sweep_report report_;
};

/// The pack whose scrub is longest due; nothing when none is.
std::optional<uint32_t> next_scrub(const pack_store& store, uint32_t now_s, uint32_t every_s = scrub_interval_s);

/// One scrub in steps, run by the owner of the packs between other work. The pack being written may be scrubbed as well: what
/// came behind the beginning is left for the next time.
class pack_scrub {
public:
  pack_scrub(pack_store& store, uint32_t pack, uint32_t now_s) : store_(store), pack_(pack), now_s_(now_s) {}
  /// Reads about `bytes_max` (one record at least); true when the pack is done, which is then remembered.
  std::variant<bool, storage_failure> step(size_t bytes_max);
  /// As scrub_pack returns them.
  [[nodiscard]] const std::vector<chunk_id>& damaged() const { return damaged_; }

private:
  pack_store& store_;
  uint32_t pack_;
  uint32_t now_s_;
  std::optional<std::vector<pack_entry>> entries_;
  size_t next_ = 0;
  std::vector<chunk_id> damaged_;
};
/// Reads every record of a pack and remembers the time. Damaged chunks that are in use are marked (pack_store::has turns
/// false, a put replaces them) and returned; the bytes stay where they are.
std::variant<std::vector<chunk_id>, storage_failure> scrub_pack(pack_store& store, uint32_t pack,
                                                                uint32_t now_s);

} // namespace harp
