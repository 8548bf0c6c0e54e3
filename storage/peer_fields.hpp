// The fields of every message of a node link, named once for writing and reading (storage.md 11). Part of peer_codec.
#pragma once

#include "storage/bundle_codec.hpp"
#include "storage/byte_codec.hpp"
#include "storage/peer_messages.hpp"
#include "storage/roster_entry.hpp"

#include <array>
#include <concepts>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace harp::wire {

/// Takes every field as bytes; the limits named beside them are the reader's.
class field_writer {
public:
  template <class Integer>
  void number(const Integer& value) {
    if constexpr (sizeof value == 1)
      out_.u8(static_cast<uint8_t>(value));
    else if constexpr (sizeof value == 2)
      out_.u16(static_cast<uint16_t>(value));
    else if constexpr (sizeof value == 4)
      out_.u32(static_cast<uint32_t>(value));
    else
      out_.u64(static_cast<uint64_t>(value));
  }
  void flag(const bool& value) { out_.flag(value); }
  void text(const std::string& value, size_t) { out_.blob(value); }
  void rest(const std::string_view& value) { out_.raw(value); }
  template <class Id>
  void id(const Id& value) {
    out_.id(value);
  }
  template <class Enum>
  void choice(const Enum& value, Enum, Enum) {
    out_.u8(static_cast<uint8_t>(value));
  }
  template <class List, class Each>
  void list(const List& items, size_t, size_t, Each&& each) {
    out_.varint(items.size());
    for (const auto& item : items)
      each(item);
  }
  void vector(const version_vector& vv) {
    out_.varint(vv.size());
    for (const auto& [rid, seq] : vv)
      out_.id(dot{rid, seq});
  }
  void beat(const signed_beat& value) { value.encode(out_); }
  void node(const sealed_node_record& value) { out_.raw(value.raw); }
  void address(const ip_address& value) {
    out_.raw({reinterpret_cast<const char*>(value.bytes().data()), value.bytes().size()});
  }
  std::string take() { return out_.take(); }

private:
  byte_writer out_;
};

/// Gives every field from bytes of anybody, with its limit; a fault sticks.
class field_reader {
public:
  explicit field_reader(std::string_view bytes) : in_(bytes) {}

  template <class Integer>
  void number(Integer& value) {
    if constexpr (sizeof value == 1)
      value = in_.u8();
    else if constexpr (sizeof value == 2)
      value = in_.u16();
    else if constexpr (sizeof value == 4)
      value = in_.u32();
    else
      value = in_.u64();
  }
  void flag(bool& value) { value = in_.flag(); }
  void text(std::string& value, size_t bytes_max) { value = in_.blob(bytes_max); }
  void rest(std::string_view& value) { value = in_.rest(); }
  template <class Id>
  void id(Id& value) {
    value = in_.id<Id>();
  }
  template <class Enum>
  void choice(Enum& value, Enum first, Enum last) {
    auto raw = in_.u8();
    if (raw < static_cast<uint8_t>(first) || raw > static_cast<uint8_t>(last))
      in_.fail();
    else
      value = static_cast<Enum>(raw);
  }
  template <class List, class Each>
  void list(List& items, size_t max, size_t item_bytes_min, Each&& each) {
    items.resize(in_.count(max, item_bytes_min));
    for (auto& item : items) {
      if (!in_.ok())
        return;
      each(item);
    }
  }
  /// Rising rids, so that no entry is said twice.
  void vector(version_vector& vv) {
    size_t count = in_.count(head_replicas_max, 5);
    replica_id last = 0;
    for (size_t i = 0; i < count && in_.ok(); ++i) {
      auto d = in_.id<dot>();
      if (d.rid <= last)
        in_.fail();
      last = d.rid;
      vv.emplace_hint(vv.end(), d.rid, d.seq);
    }
  }
  void beat(signed_beat& value) { value = signed_beat::decode(in_); }
  void node(sealed_node_record& value) {
    auto decoded = decode_node_record(in_.rest());
    if (auto* record = std::get_if<sealed_node_record>(&decoded))
      value = std::move(*record);
    else
      in_.fail();
  }
  void address(ip_address& value) {
    std::array<uint8_t, 16> bytes{};
    auto raw = in_.raw(bytes.size());
    if (in_.ok())
      std::memcpy(bytes.data(), raw.data(), bytes.size());
    value = ip_address::from_bytes(bytes);
  }
  [[nodiscard]] bool done() const { return in_.done(); }

private:
  byte_reader in_;
};

/// M is a message, const when it is written.
template <class F, class M>
void text_list(F& f, M& texts, size_t max, size_t bytes_max) {
  f.list(texts, max, 1, [&](auto& text) { f.text(text, bytes_max); });
}

template <class F, class M>
void runs_of(F& f, M& what) {
  f.id(what.cid);
  f.list(what.runs, content_runs_max, 8, [&](auto& run) {
    f.number(run.first);
    f.number(run.count);
  });
}

template <class M, class Wanted>
concept is = std::is_same_v<std::remove_const_t<M>, Wanted>;

template <class F, class M>
requires is<M, hello_message>
void fields(F& f, M& m) {
  f.number(m.version_min);
  f.number(m.version_max);
  f.text(m.software, software_bytes_max);
  f.id(m.link);
  f.number(m.t1);
  f.list(m.spaces, hello_spaces_max, space_id::size + 8, [&](auto& space) {
    f.id(space.first);
    f.number(space.second);
  });
}

template <class F, class M>
requires is<M, hello_ack_message>
void fields(F& f, M& m) {
  f.number(m.t1);
  f.number(m.t2);
  f.number(m.t3);
  f.list(m.granted, hello_spaces_max, space_id::size, [&](auto& space) { f.id(space); });
  f.number(m.control_bytes_max);
  f.number(m.data_bytes_max);
  f.number(m.streams_max);
  f.number(m.credit_bytes);
  f.text(m.observed, wire_text_bytes_max);
}

template <class F, class M>
requires is<M, roster_message>
void fields(F& f, M& m) {
  f.id(m.space);
  text_list(f, m.entries, roster_message_entries_max, roster_entry_bytes_max);
}

template <class F, class M>
requires is<M, head_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.flag(m.complete);
  f.vector(m.vv);
  f.number(m.hlc);
  f.number(m.roster_version);
  f.id(m.checkpoint);
  f.id(m.state_root);
}

template <class F, class M>
requires is<M, want_ops_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.list(m.ranges, want_ranges_max, 20, [&](auto& range) {
    f.number(range.rid);
    f.number(range.from);
    f.number(range.to);
  });
  f.number(m.credit_bytes);
}

template <class F, class M>
requires is<M, ops_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.flag(m.answer);
  text_list(f, m.bundles, ops_bundles_max, bundle_sent_bytes_max);
}

template <class F, class M>
requires is<M, nack_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.number(m.rid);
  f.number(m.seq);
  f.choice(m.code, nack_code::clock, nack_code::parse);
}

template <class F, class M>
requires is<M, snapshot_request_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.number(m.bucket);
}

template <class F, class M>
requires is<M, snapshot_part_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.number(m.bucket);
  f.flag(m.last_of_bucket);
  f.flag(m.last);
  f.text(m.checkpoint, bundle_sent_bytes_max);
  f.text(m.rows, data_payload_bytes_max);
}

template <class F, class M>
requires is<M, have_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.list(m.contents, have_entries_max, content_id::size + 2, [&](auto& content) {
    f.id(content.cid);
    f.flag(content.complete);
    f.list(content.segments, have_segments_max, 5, [&](auto& part) {
      f.number(part.segment);
      f.text(part.bits, segment_bitmap_bytes_max);
    });
  });
}

template <class F, class M>
requires is<M, have_delta_message>
void fields(F& f, M& m) {
  f.id(m.space);
  runs_of(f, m.gained);
}

template <class F, class M>
requires is<M, want_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.choice(m.what, want_class::deadline, want_class::history);
  f.list(m.entries, want_entries_max, content_id::size + 8, [&](auto& entry) {
    f.id(entry.cid);
    f.number(entry.run.first);
    f.number(entry.run.count);
  });
  f.number(m.deadline_ms);
}

template <class F, class M>
requires is<M, data_message>
void fields(F& f, M& m) {
  f.id(m.cid);
  f.number(m.chunk);
  f.number(m.offset);
  f.flag(m.last);
  f.rest(m.bytes);
}

template <class F, class M>
requires is<M, missing_message>
void fields(F& f, M& m) {
  runs_of(f, m.what);
  f.choice(m.reason, missing_reason::changed, missing_reason::denied);
}

template <class F, class M>
requires is<M, busy_message>
void fields(F& f, M& m) {
  f.number(m.retry_ms);
  f.choice(m.what, want_class::deadline, want_class::history);
}

template <class F, class M>
requires is<M, cancel_message>
void fields(F& f, M& m) {
  f.list(m.what, want_entries_max, content_id::size + 1, [&](auto& what) { runs_of(f, what); });
}

template <class F, class M>
requires is<M, safe_message>
void fields(F& f, M& m) {
  f.id(m.space);
  f.list(m.versions, safe_entries_max, node_id::size + stamp_bytes, [&](auto& version) {
    f.id(version.first);
    f.id(version.second);
  });
}

template <class F, class M>
requires is<M, punch_message>
void fields(F& f, M& m) {
  text_list(f, m.candidates, punch_candidates_max, wire_text_bytes_max);
  f.id(m.token);
  f.number(m.start_in_us);
}

template <class F, class M>
requires is<M, relay_message>
void fields(F& f, M& m) {
  f.id(m.peer);
}

template <class F, class M>
requires is<M, ping_message>
void fields(F& f, M& m) {
  f.number(m.t1);
}

template <class F, class M>
requires is<M, pong_message>
void fields(F& f, M& m) {
  f.number(m.t1);
  f.number(m.t2);
  f.number(m.t3);
}

template <class F, class M>
requires is<M, bye_message>
void fields(F& f, M& m) {
  f.text(m.reason, wire_text_bytes_max);
}

template <class F, class M>
requires is<M, beat_message>
void fields(F& f, M& m) {
  f.beat(m.beat);
}

template <class F, class M>
requires is<M, enrol_message>
void fields(F& f, M& m) {
  f.id(m.secret);
  f.id(m.device);
  f.text(m.name, device_name_bytes_max);
}

template <class F, class M>
requires is<M, enrol_ack_message>
void fields(F& f, M& m) {
  f.choice(m.status, enrol_status::done, enrol_status::failed);
  f.text(m.text, wire_text_bytes_max);
  f.id(m.governor);
  f.id(m.cluster);
  f.list(m.spaces, enrol_spaces_max, space_id::size + device_key::size + 5, [&](auto& space) {
    f.id(space.space);
    f.number(space.rid);
    f.id(space.founder);
    text_list(f, space.entries, roster_message_entries_max, roster_entry_bytes_max);
  });
  text_list(f, m.addresses, node_addresses_max, wire_text_bytes_max);
}

template <class F, class M>
requires is<M, node_message>
void fields(F& f, M& m) {
  f.node(m.node);
}

template <class F, class M>
requires is<M, open_message>
void fields(F& f, M& m) {
  f.text(m.app_id, node_app_id_bytes_max);
  f.number(m.port);
  f.address(m.client);
  f.text(m.request_id, wire_text_bytes_max);
}

template <class F, class M>
requires is<M, recheck_message>
void fields(F& f, M& m) {
  f.text(m.app_id, node_app_id_bytes_max);
  f.flag(m.gone);
}

} // namespace harp::wire
