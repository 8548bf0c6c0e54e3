// Verified bytes of one content from where this node has them: the user's file, a download under way, the packs
// (storage.md 6.3). Nothing leaves here that does not fit its hash.
#pragma once

#include "storage/content_root.hpp"
#include "storage/pack_store.hpp"
#include "storage/partial_file.hpp"
#include "storage/safe_path.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

/// Why a chunk cannot be had from here.
enum class chunk_trouble : uint8_t {
  absent,     // not here
  changed,    // the user's file is not the one that was observed: look at it again
  damaged,    // observed unchanged, but its bytes have another hash
  unreadable, // I/O error
};
struct chunk_refusal {
  chunk_trouble why = chunk_trouble::absent;
  std::string what; // cause in words; no file name, so it may be logged
};
using chunk_answer = std::variant<std::string, chunk_refusal>;

/// A file of the user that held the content when it was last observed (base_row::seen).
struct in_place_file {
  const safe_root* root = nullptr;
  std::string path; // below the root
  file_stat seen;
};

/// The chunk out of a user's file: stat before and after the read as observed, and the bytes fit the hash.
chunk_answer read_in_place(const in_place_file& file, const placed_chunk& chunk);

/// Where one content may be had, in the order in which it is tried: download under way, files, packs.
struct content_places {
  const partial_file* partial = nullptr;
  std::vector<in_place_file> files; // a few: see space_rows::holders
  pack_store* packs = nullptr;
};
inline constexpr size_t places_tried_max = 4;

/// One chunk from the first place that gives it; else the most telling trouble (damaged before changed before absent).
chunk_answer read_chunk(const content_places& places, const placed_chunk& chunk);

/// Bytes of one content by offset, for DAV and `harp cat`. Keeps the last verified chunk, so reading on costs one read
/// and one hash per chunk. One owner.
class content_reader {
public:
  /// `manifest` and what `places` points to must outlive it.
  content_reader(manifest_reader& manifest, content_places places)
      : manifest_(manifest), places_(std::move(places)) {}
  /// From `offset` up to `bytes_max` or the end of the chunk there, whichever is first. The view lives until the next call.
  std::variant<std::string_view, chunk_refusal> read(uint64_t offset, size_t bytes_max);
  /// The places may change while a download goes on.
  void set_places(content_places places) { places_ = std::move(places); }

private:
  manifest_reader& manifest_;
  content_places places_;
  placed_chunk at_;
  std::string held_;
};

} // namespace harp
