// What became of a piece of a request, or of the request: from the data stream to the swarm.
#pragma once

#include "storage/picker_events.hpp"

#include <string>
#include <vector>

namespace harp {

struct fetch_report {
  enum class kind : uint8_t {
    data,    // `bytes` more of a chunk that is not complete
    chunk,   // a chunk is written and its hash is right
    root,    // a root record: `record` is stored, `shape` is what it says
    segment, // a manifest segment is stored, `chunks` is what it lists
    bad,     // a piece with a wrong hash or length
    unkept,  // a good piece that could not be written: `words`
    missing, // the peer does not have `run`
    busy,    // the peer asks to wait
    ended,   // the stream ended in order
    failed,  // the stream broke
  };
  kind what = kind::failed;
  uint64_t request = 0;
  replica_id peer = 0;
  piece_run run; // which piece; its first number counts but for `missing`
  uint64_t bytes = 0;
  bool denied = false;
  uint32_t retry_ms = 0;
  content_shape shape;
  std::vector<chunk_ref> chunks;
  uint32_t chunk_count = 0; // root: of the whole content
  std::string words;
};

} // namespace harp
