// The contents of one space on this device: where they are, verified reads, and what is being downloaded. Thread-safe.
#pragma once

#include "storage/chunk_source.hpp"
#include "storage/pack_store.hpp"
#include "storage/space_store.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace harp {

inline constexpr size_t downloads_max = 65'536; // as many as the picker wants
inline constexpr size_t holders_tried_max = 4;

/// A content on its way to its place: a temp file beside the target, or (no `temp`) the packs, for readers without a folder.
struct download {
  content_id cid;
  uint64_t size = 0;
  std::string dir_path;               // of the target
  std::string temp;                   // name in it
  std::shared_ptr<partial_file> file; // contents of more than one chunk, once their manifest is known
  bool complete = false;
};

class space_content {
public:
  space_content(std::shared_ptr<space_store> rows, pack_store& packs) : rows_(std::move(rows)), packs_(packs) {}
  [[nodiscard]] const space_store& rows() const { return *rows_; }

  /// The folder that holds the files here; null: none.
  void hold(std::shared_ptr<const safe_root> root);
  [[nodiscard]] std::shared_ptr<const safe_root> root() const;

  /// True when the space has, or had, a file with this content: the right to ask for it (quality.md S8, C02).
  [[nodiscard]] bool references(const content_id& cid) const;
  /// The root record; empty: not here.
  [[nodiscard]] std::string root_record(const content_id& cid) const;
  /// A segment of a manifest; empty: not here.
  [[nodiscard]] std::string segment(const chunk_id& id) const;
  /// Chunks by number; words when the manifest, or the part of it that is asked for, is not here.
  [[nodiscard]] std::variant<manifest_reader, std::string> manifest(const content_id& cid) const;
  /// A verified chunk from wherever it is here.
  [[nodiscard]] chunk_answer read(const content_id& cid, const placed_chunk& chunk) const;
  /// True when every byte is here, as far as rows tell.
  [[nodiscard]] bool is_here(const content_id& cid) const;

  // -- downloads
  /// Where a wanted content goes; replaces an earlier target. Without `temp`: into the packs, unless it goes somewhere
  /// already. False: downloads_max.
  bool expect(const content_id& cid, uint64_t size, std::string dir_path, std::string temp);
  [[nodiscard]] std::optional<download> expected(const content_id& cid) const;
  /// The store's thread: opens (or resumes) the temp file of a content of several chunks; null when it goes to the packs.
  std::variant<std::shared_ptr<partial_file>, storage_failure> open_partial(const content_id& cid, uint32_t chunks);
  /// A checked chunk arrived; empty when it is written, else what went wrong. `whole`: the content is this one chunk. What
  /// goes to the packs is put there by the store, not here.
  std::string write(const content_id& cid, const placed_chunk& chunk, std::string_view bytes, bool whole);
  /// What of a download may be recorded as surely on disk, when that is due. Syncs: pool thread.
  std::optional<partial_claim> claim_due(const content_id& cid);
  /// The store's thread: such a record. A crash refetches what came after it.
  void record(const partial_claim& claim);
  void completed(const content_id& cid);
  /// Placed, or not wanted any more.
  void forget(const content_id& cid);
  /// Nothing is wanted any more: what was.
  std::vector<download> forget_all();
  /// Contents on their way.
  [[nodiscard]] std::vector<content_id> under_way() const;
  /// Chunks of a content that the packs hold.
  [[nodiscard]] std::vector<chunk_run> packed_runs(const content_id& cid) const;

private:
  [[nodiscard]] std::vector<in_place_file> files_with(const content_id& cid, const std::shared_ptr<const safe_root>& root) const;

  std::shared_ptr<space_store> rows_;
  pack_store& packs_;
  mutable std::mutex mutex_;
  std::shared_ptr<const safe_root> root_;        // guarded by it
  std::map<content_id, download> downloads_;     // guarded by it
};

} // namespace harp
