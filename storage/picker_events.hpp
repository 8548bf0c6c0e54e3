// What goes into the picker and comes out of it, as values (storage.md 9). No behaviour.
#pragma once

#include "storage/have_map.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

/// How urgent a transfer is; lower values go first. Weights when serving: 8, 4, 1.
enum class transfer_class : uint8_t { deadline = 0, normal = 1, history = 2 };

/// How a peer is reached, best first.
enum class peer_reach : uint8_t { lan = 0, direct = 1, relayed = 2 };

/// What of a content is moved. Root record and segments travel like chunks: root no is 0, segment no its index.
enum class piece_kind : uint8_t { chunk = 0, segment = 1, root = 2 };

struct segment_ref {
  uint32_t chunks = 0;
  uint64_t bytes = 0;
};
/// A chunk as its segment (or a root of at most 8 chunks) lists it.
struct chunk_ref {
  chunk_id id;
  uint32_t bytes = 0;
};
/// What a root record says: either the chunks themselves or segments; both empty for an empty file.
struct content_shape {
  std::vector<chunk_ref> chunks;
  std::vector<segment_ref> segments;
};

/// A version that is to be fetched, with what decides its turn.
struct content_want {
  content_id cid;
  uint64_t size = 0;
  transfer_class cls = transfer_class::normal;
  replica_id author = 0;              // taken for a provider until it says otherwise; 0: none
  local_id directory = 0;             // small files first within one
  uint64_t edited_hlc = 0;            // newest first
  std::optional<content_shape> shape; // when the root record is at hand (inline, or stored)
};

/// Pieces of one content.
struct piece_run {
  content_id cid;
  piece_kind kind = piece_kind::chunk;
  uint32_t first = 0;
  uint32_t count = 0;
  bool operator==(const piece_run&) const = default;
};

// -- effects: what the owner has to do -----------------------------------------------------------------------------------

/// Send Want to a peer. At most 1,024 runs; `bytes` is the sum (estimated for roots and segments).
struct fetch_request {
  uint64_t id = 0; // unique in this picker
  replica_id peer = 0;
  transfer_class cls = transfer_class::normal;
  std::vector<piece_run> runs;
  uint64_t bytes = 0;
  uint32_t deadline_ms = 0; // 0: none
};
/// Send Cancel for some runs of a request, or end its stream (`whole`). Nothing of it is awaited any more.
struct fetch_cancel {
  uint64_t id = 0;
  replica_id peer = 0;
  std::vector<piece_run> runs;
  bool whole = false;
};
/// Look for the root record, or for a segment, in the own store: answer with root_arrived/segment_arrived, or with
/// root_absent/segment_absent to have it fetched.
struct need_root {
  content_id cid;
};
struct need_segment {
  content_id cid;
  uint32_t index = 0;
};
/// The chunk `to` equals the chunk `from`, which has come: write it there too.
struct fetch_reuse {
  content_id cid;
  uint32_t from = 0;
  uint32_t to = 0;
};
/// Tell connected members what we have now.
struct fetch_announce {
  std::vector<have_delta> deltas;
};
/// All chunks of a content have come; the picker has forgotten it.
struct fetch_finished {
  content_id cid;
};
/// Three bad chunks: nothing is asked of this peer until then. Deserves a notice.
struct fetch_banned {
  replica_id peer = 0;
  uint64_t until_ms = 0;
};
/// The table of wants, once full, has room for half of wants_max again.
struct fetch_room {};

using fetch_effect = std::variant<fetch_request, fetch_cancel, need_root, need_segment, fetch_reuse,
                                  fetch_announce, fetch_finished, fetch_banned, fetch_room>;

// -- what it waits for ---------------------------------------------------------------------------------------------------

enum class wait_reason : uint8_t {
  none,          // not wanted, or nothing to wait for
  queued,        // its turn has not come
  transferring,  // chunks are on their way
  manifest,      // the root record or a segment is on its way
  nobody_has_it, // no member is known to have it
  peer_offline,  // who has it is not connected: `peer` (the author, else the first known)
  peer_busy,     // who has it asked us to wait, or does not answer: `peer`
  peer_banned,   // who has it sent wrong bytes: `peer`
};
[[nodiscard]] std::string_view to_string(wait_reason reason);

/// For `harp status`: one wanted content.
struct wait_line {
  content_id cid;
  wait_reason reason = wait_reason::none;
  replica_id peer = 0; // whom it waits for, or the fastest source
  uint64_t size = 0;
  uint64_t bytes_had = 0;
  uint32_t sources = 0; // connected peers that have something of it
};

} // namespace harp
