// A Beat: a replica signs how far its bundles go and what its clock says (storage.md 5.1). No I/O, no clock.
#pragma once

#include "storage/byte_codec.hpp"
#include "storage/signing.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace harp {

/// Every replica signs one that often while online, in milliseconds.
inline constexpr uint64_t beat_every_ms = 60'000;

/// Promises that every later bundle of `rid` has a number above `seq` and a clock above `hlc`.
struct signed_beat {
  space_id space;
  replica_id rid = 0;
  uint64_t seq = 0;
  uint64_t hlc = 0;
  signature sig;

  static constexpr size_t wire_bytes = space_id::size + 4 + 8 + 8 + signature::size;

  static signed_beat make(const space_id& space, dot last, uint64_t hlc, const signing_key& key) {
    signed_beat out;
    out.space = space;
    out.rid = last.rid;
    out.seq = last.seq;
    out.hlc = hlc;
    out.sig = key.sign(sign_as::beat, out.signed_bytes());
    return out;
  }
  [[nodiscard]] bool verify(const device_key& by) const {
    return verify_signature(by, sign_as::beat, signed_bytes(), sig);
  }
  void encode(byte_writer& out) const {
    out.raw(signed_bytes());
    out.id(sig);
  }
  /// A fault shows in the reader.
  static signed_beat decode(byte_reader& in) {
    signed_beat out;
    out.space = in.id<space_id>();
    out.rid = in.u32();
    out.seq = in.u64();
    out.hlc = in.u64();
    out.sig = in.id<signature>();
    if (out.rid == 0)
      in.fail();
    return out;
  }
  bool operator==(const signed_beat&) const = default;

private:
  [[nodiscard]] std::string signed_bytes() const {
    byte_writer out;
    out.id(space);
    out.u32(rid);
    out.u64(seq);
    out.u64(hlc);
    return out.take();
  }
};

} // namespace harp
