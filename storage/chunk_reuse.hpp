// Chunks of a wanted content that this device has already: in the version it replaces, in other files by `loc`, in packs
// (storage.md 6.4, 9.1). So that one changed byte moves one chunk.
#pragma once

#include "storage/chunk_index.hpp"
#include "storage/folder_ledger.hpp"
#include "storage/space_content.hpp"

#include <memory>
#include <vector>

namespace harp {

inline constexpr size_t reuse_places_tried_max = 4; // rows of `loc` looked at for one chunk

/// One chunk that may be copied here instead of being asked of a peer. Only a candidate: its bytes are hashed when they are read.
struct reusable_chunk {
  placed_chunk to;
  content_id from_content; // zero: the packs have it
  placed_chunk from;
};

/// Finds and copies. Thread-safe; blocks, so it runs in the pool. `index` and `packs` outlive it.
class chunk_reuse {
public:
  chunk_reuse(std::shared_ptr<space_store> rows, std::shared_ptr<space_content> content, pack_store& packs, chunk_index& index)
    : rows_(std::move(rows)), content_(std::move(content)), packs_(packs), index_(index) {}

  /// Chunks of `cid` from `first` on, as its manifest lists them there, that are here; nothing for contents of one chunk, whose
  /// whole content is looked for elsewhere. `space` is the space's number in the index; 0: `loc` is not asked.
  [[nodiscard]] std::vector<reusable_chunk> find(const content_id& cid, uint32_t space, uint32_t first, const std::vector<chunk_ref>& chunks) const;
  /// Copies them into the download of `cid`. Returns the runs that turned out not to be what they should be.
  std::vector<chunk_run> copy(const content_id& cid, const std::vector<reusable_chunk>& what) const;
  /// Re-hashes what an earlier process had written of a download. True when all of it is here and sound.
  [[nodiscard]] bool settle(const content_id& cid) const;

private:
  std::shared_ptr<space_store> rows_;
  std::shared_ptr<space_content> content_;
  pack_store& packs_;
  chunk_index& index_;
};

/// The store's thread, after a round was recorded: where chunks of files of several chunks lie now goes into `loc`, and rows of
/// the versions they replace go. Files of one chunk are found by their whole content, so they cost nothing here.
void note_places(chunk_index& index, const space_id& space, const space_store& rows, const space_content& content, const std::vector<finished_action>& finished);

} // namespace harp
