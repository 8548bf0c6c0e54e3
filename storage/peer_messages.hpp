// The messages of a node link as values (storage.md 11). Bytes: peer_codec. All limits that a decoder enforces are here.
#pragma once

#include "storage/beat.hpp"
#include "storage/node_record.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace harp {

inline constexpr uint8_t protocol_version_min = 1;
inline constexpr uint8_t protocol_version_max = 1;

inline constexpr size_t control_payload_bytes_max = 256 * 1024;
inline constexpr size_t data_payload_bytes_max = (1u << 20) + 64;
inline constexpr size_t enrol_payload_bytes_max = 1024;
inline constexpr size_t software_bytes_max = 64;
inline constexpr size_t hello_spaces_max = 4096;
inline constexpr size_t roster_message_entries_max = 1024;
inline constexpr size_t head_replicas_max = 16'384;
inline constexpr size_t want_ranges_max = 1024;
inline constexpr size_t ops_bundles_max = 4096;
inline constexpr size_t have_entries_max = 1024;
inline constexpr size_t have_segments_max = 4096;
inline constexpr size_t segment_bitmap_bytes_max = 512; // 4,096 chunks
inline constexpr size_t content_runs_max = 4096;
inline constexpr size_t want_entries_max = 1024;
inline constexpr size_t safe_entries_max = 4096;
inline constexpr size_t punch_candidates_max = 16;
inline constexpr size_t wire_text_bytes_max = 255; // addresses, reasons, ids
inline constexpr size_t enrol_spaces_max = 256;

/// Numbers of storage.md 11.
enum class message_type : uint8_t {
  hello = 1,
  hello_ack = 2,
  roster = 3,
  head = 4,
  want_ops = 5,
  ops = 6,
  nack = 7,
  snapshot = 8, // request and part
  have = 9,
  have_delta = 10,
  want = 11,
  data = 12,
  missing = 13,
  busy = 14,
  cancel = 15,
  safe = 16,
  punch = 17,
  relay = 18,
  ping = 19, // and pong
  bye = 20,
  beat = 21,
  enrol = 22, // and its answer
  node = 23,
  open = 24,
  recheck = 25,
};

using link_id = opaque_id<16, struct link_tag>;
using punch_token = opaque_id<16, struct punch_tag>;
using enrol_secret = opaque_id<16, struct invite_secret_tag>; // the same type as invite_secret

// -- links ------------------------------------------------------------------------------------------------------------------

struct hello_message {
  uint8_t version_min = protocol_version_min;
  uint8_t version_max = protocol_version_max;
  std::string software;
  link_id link;    // a new one replaces the old link of this pair
  uint64_t t1 = 0; // Unix us, the sender's clock
  std::vector<std::pair<space_id, uint64_t>>
      spaces; // with roster version; only those that list the other device
  bool operator==(const hello_message&) const = default;
};
struct hello_ack_message {
  uint64_t t1 = 0; // as received
  uint64_t t2 = 0;
  uint64_t t3 = 0;
  std::vector<space_id> granted;
  uint32_t control_bytes_max = control_payload_bytes_max;
  uint32_t data_bytes_max = data_payload_bytes_max;
  uint32_t streams_max = 0;
  uint64_t credit_bytes = 0; // of Ops in flight
  std::string observed;      // the other's address as seen here
  bool operator==(const hello_ack_message&) const = default;
};
struct ping_message {
  uint64_t t1 = 0; // Unix us
  bool operator==(const ping_message&) const = default;
};
struct pong_message {
  uint64_t t1 = 0;
  uint64_t t2 = 0;
  uint64_t t3 = 0;
  bool operator==(const pong_message&) const = default;
};
struct bye_message {
  std::string reason;
  bool operator==(const bye_message&) const = default;
};
struct punch_message {
  std::vector<std::string> candidates; // host:port
  punch_token token;
  uint64_t start_in_us = 0;
  bool operator==(const punch_message&) const = default;
};
struct relay_message {
  device_key peer;
  bool operator==(const relay_message&) const = default;
};
struct node_message {
  sealed_node_record node;
  bool operator==(const node_message&) const = default;
};
struct open_message {
  std::string app_id;
  uint16_t port = 0;
  ip_address client;
  std::string request_id;
  bool operator==(const open_message&) const = default;
};
struct recheck_message {
  std::string app_id;
  bool gone = false;
  bool operator==(const recheck_message&) const = default;
};

// -- joining ----------------------------------------------------------------------------------------------------------------

/// A zero secret: a device that is known already (storage.md 5.4).
struct enrol_message {
  enrol_secret secret;
  device_key device;
  std::string name;
  bool operator==(const enrol_message&) const = default;
};
enum class enrol_status : uint8_t {
  done = 0,
  unknown = 1,
  expired = 2,
  used_up = 3,
  revoked = 4,
  busy = 5,
  failed = 6
};
struct enrolled_space {
  space_id space;
  replica_id rid = 0;
  device_key founder;               // the governor key its roster begins with
  std::vector<std::string> entries; // raw, from version 1; the rest comes as Roster
  bool operator==(const enrolled_space&) const = default;
};
struct enrol_ack_message {
  enrol_status status = enrol_status::failed;
  std::string text;    // for the person who joins, when refused
  device_key governor; // the hash of it is in the token
  space_id cluster;    // which of the spaces is the cluster space
  std::vector<enrolled_space> spaces;
  std::vector<std::string> addresses;
  bool operator==(const enrol_ack_message&) const = default;
};

// -- metadata ---------------------------------------------------------------------------------------------------------------

struct roster_message {
  space_id space;
  std::vector<std::string> entries; // raw, rising; a lease may be last
  bool operator==(const roster_message&) const = default;
};
struct head_message {
  space_id space;
  bool complete = false; // a replica that is not named has nothing; else: unchanged
  version_vector vv;
  uint64_t hlc = 0;
  uint64_t roster_version = 0;
  dot checkpoint;       // the newest applied; zero: none
  digest256 state_root; // zero: not told
  bool operator==(const head_message&) const = default;
};
struct op_range {
  replica_id rid = 0;
  uint64_t from = 0; // inclusive, as `to`
  uint64_t to = 0;
  bool operator==(const op_range&) const = default;
};
/// Adds ranges and credit to what the other side still has of earlier ones.
struct want_ops_message {
  space_id space;
  std::vector<op_range> ranges;
  uint64_t credit_bytes = 0; // more bytes it may answer; it may overdraw by one bundle
  bool operator==(const want_ops_message&) const = default;
};
struct ops_message {
  space_id space;
  bool answer = false;              // to WantOps, spends its credit; else a push
  std::vector<std::string> bundles; // raw
  bool operator==(const ops_message&) const = default;
};
enum class nack_code : uint8_t { clock = 1, rebase = 2, role = 3, quota = 4, parse = 5 };
struct nack_message {
  space_id space;
  replica_id rid = 0;
  uint64_t seq = 0;
  nack_code code = nack_code::parse;
  bool operator==(const nack_message&) const = default;
};
struct snapshot_request_message {
  space_id space;
  uint16_t bucket = 0; // the first one wanted
  bool operator==(const snapshot_request_message&) const = default;
};
struct snapshot_part_message {
  space_id space;
  uint16_t bucket = 0;
  bool last_of_bucket = false;
  bool last = false;
  std::string checkpoint; // raw bundle with the signed checkpoint; in the first part
  std::string rows;
  bool operator==(const snapshot_part_message&) const = default;
};
struct beat_message {
  signed_beat beat;
  bool operator==(const beat_message&) const = default;
};
struct safe_message {
  space_id space;
  std::vector<std::pair<node_id, stamp>> versions; // whose content a keeper holds durably
  bool operator==(const safe_message&) const = default;
};

// -- content ----------------------------------------------------------------------------------------------------------------

/// Numbers of things that travel like chunks: the root record, and manifest segment i as segment_chunk_bit | i.
inline constexpr uint32_t root_chunk_number = 0xffff'ffff;
inline constexpr uint32_t segment_chunk_bit = 0x8000'0000;

struct content_runs {
  content_id cid;
  std::vector<chunk_run> runs;
  bool operator==(const content_runs&) const = default;
};
struct segment_bitmap {
  uint32_t segment = 0;
  std::string bits; // bit i of byte i / 8, lowest first
  bool operator==(const segment_bitmap&) const = default;
};
struct have_entry {
  content_id cid;
  bool complete = false;
  std::vector<segment_bitmap> segments; // when not complete
  bool operator==(const have_entry&) const = default;
};
struct have_message {
  space_id space;
  std::vector<have_entry> contents;
  bool operator==(const have_message&) const = default;
};
struct have_delta_message {
  space_id space;
  content_runs gained;
  bool operator==(const have_delta_message&) const = default;
};
enum class want_class : uint8_t { deadline = 1, normal = 2, history = 3 };
struct want_entry {
  content_id cid;
  chunk_run run;
  bool operator==(const want_entry&) const = default;
};
struct want_message {
  space_id space;
  want_class what = want_class::normal;
  std::vector<want_entry> entries;
  uint32_t deadline_ms = 0;
  bool operator==(const want_message&) const = default;
};
/// `bytes` of a decoded message points into the payload: no copy of what is verified and written next.
struct data_message {
  content_id cid;
  uint32_t chunk = 0;
  uint32_t offset = 0; // in the chunk
  bool last = false;   // of this chunk
  std::string_view bytes;
  bool operator==(const data_message&) const = default;
};
inline constexpr size_t data_head_bytes = content_id::size + 4 + 4 + 1;
inline constexpr size_t data_piece_bytes_max = 1u << 20;

enum class missing_reason : uint8_t { changed = 1, gone = 2, denied = 3 };
struct missing_message {
  content_runs what;
  missing_reason reason = missing_reason::gone;
  bool operator==(const missing_message&) const = default;
};
struct busy_message {
  uint32_t retry_ms = 0;
  want_class what = want_class::normal;
  bool operator==(const busy_message&) const = default;
};
struct cancel_message {
  std::vector<content_runs> what;
  bool operator==(const cancel_message&) const = default;
};

using peer_message
    = std::variant<hello_message, hello_ack_message, roster_message, head_message, want_ops_message,
                   ops_message, nack_message, snapshot_request_message, snapshot_part_message,
                   have_message, have_delta_message, want_message, data_message, missing_message,
                   busy_message, cancel_message, safe_message, punch_message, relay_message,
                   ping_message, pong_message, bye_message, beat_message, enrol_message,
                   enrol_ack_message, node_message, open_message, recheck_message>;

} // namespace harp
