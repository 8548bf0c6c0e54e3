// The frame around operations: header, context, compression, signature.
#include "storage/bundle_codec.hpp"

#include "storage/digest.hpp"
#include "storage/operation_codec.hpp"

#include <zstd.h>

#include <algorithm>
#include <memory>

namespace harp {

namespace {

constexpr uint8_t bundle_format = 1;
constexpr uint8_t flag_compressed = 1;
constexpr int compression_level = 1;
constexpr size_t dot_bytes_min = 5;
constexpr size_t operation_bytes_min = 2;

struct compressor_deleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct decompressor_deleter {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

/// Empty when libzstd has no memory.
std::string compressed(std::string_view plain) {
  thread_local const std::unique_ptr<ZSTD_CCtx, compressor_deleter> context{ZSTD_createCCtx()};
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  if (!context)
    return {};
  auto size = ZSTD_compressCCtx(context.get(), out.data(), out.size(), plain.data(), plain.size(),
                                compression_level);
  if (ZSTD_isError(size) != 0)
    return {};
  out.resize(size);
  return out;
}

/// `out` has exactly the announced size; anything else is a fault.
bool decompress(std::string_view packed, std::string& out) {
  thread_local const std::unique_ptr<ZSTD_DCtx, decompressor_deleter> context{ZSTD_createDCtx()};
  if (!context)
    return false;
  auto size
      = ZSTD_decompressDCtx(context.get(), out.data(), out.size(), packed.data(), packed.size());
  return ZSTD_isError(size) == 0 && size == out.size();
}

void write_head(byte_writer& out, const bundle& b) {
  out.u8(bundle_format);
  out.id(b.space);
  out.u32(b.rid);
  out.u64(b.seq);
  out.u64(b.hlc);
  out.u64(b.roster_version);
  out.id(b.previous);
  out.varint(b.context_delta.size());
  for (const auto& d : b.context_delta)
    out.id(d);
}

bool read_head(byte_reader& in, bundle& b) {
  if (in.u8() != bundle_format)
    return false;
  b.space = in.id<space_id>();
  b.rid = in.u32();
  b.seq = in.u64();
  b.hlc = in.u64();
  b.roster_version = in.u64();
  b.previous = in.id<digest256>();
  if (b.rid == 0 || b.seq == 0 || b.hlc == 0 || (b.seq == 1) != b.previous.is_zero())
    return false;
  b.context_delta.resize(in.count(bundle_context_max, dot_bytes_min));
  replica_id last = 0;
  for (auto& d : b.context_delta) {
    d = in.id<dot>();
    if (d.rid <= last || d.rid == b.rid || d.seq == 0)
      return false;
    last = d.rid;
  }
  return in.ok();
}

/// The operations' bytes, unpacked into `unpacked` where needed; nothing on a fault.
std::optional<std::string_view> read_body(byte_reader& in, std::string& unpacked) {
  uint8_t flags = in.u8();
  if ((flags & ~flag_compressed) != 0)
    return std::nullopt;
  if ((flags & flag_compressed) == 0)
    return in.blob(bundle_raw_bytes_max);
  uint64_t size = in.varint();
  auto packed = in.blob(bundle_sent_bytes_max);
  if (!in.ok() || size > bundle_raw_bytes_max || size <= bundle_plain_bytes_max)
    return std::nullopt;
  unpacked.resize(static_cast<size_t>(size));
  if (!decompress(packed, unpacked))
    return std::nullopt;
  return unpacked;
}

bool read_operations(std::string_view bytes, bundle& b) {
  byte_reader in{bytes};
  size_t count = in.count(bundle_ops_max, operation_bytes_min);
  b.ops.reserve(count);
  for (size_t i = 0; i < count && in.ok(); ++i)
    b.ops.push_back(decode_operation(in, b.id()));
  return in.done();
}

std::string operations_of(const bundle& b) {
  byte_writer out;
  out.varint(b.ops.size());
  for (const auto& op : b.ops)
    encode_operation(out, op);
  return out.take();
}

void write_body(byte_writer& out, std::string_view plain) {
  std::string packed = plain.size() > bundle_plain_bytes_max ? compressed(plain) : std::string{};
  // Bytes that do not shrink travel plain.
  bool worth = !packed.empty() && packed.size() < plain.size();
  out.u8(worth ? flag_compressed : 0);
  if (worth)
    out.varint(plain.size());
  out.blob(worth ? std::string_view(packed) : plain);
}

} // namespace

signature sealed_bundle::signed_with() const {
  return *signature::from_view(std::string_view(raw).substr(raw.size() - signature::size));
}

std::variant<sealed_bundle, std::string> seal_bundle(bundle content, const signing_key& key) {
  auto plain = operations_of(content);
  if (content.ops.size() > bundle_ops_max || plain.size() > bundle_raw_bytes_max)
    return "a bundle of " + std::to_string(content.ops.size()) + " operations and "
           + std::to_string(plain.size()) + " bytes is too large; it must be split";
  byte_writer out;
  write_head(out, content);
  write_body(out, plain);
  auto digest = blake2b(sign_as::bundle, out.bytes());
  out.id(key.sign(digest));
  // The decoder is the one place that knows the rules: what it refuses must not leave this machine.
  return decode_bundle(out.bytes());
}

std::variant<sealed_bundle, std::string> decode_bundle(std::string_view raw) {
  if (raw.size() > bundle_sent_bytes_max)
    return "a bundle of " + std::to_string(raw.size()) + " bytes is larger than 1 MiB";
  if (raw.size() <= signature::size)
    return std::string("a bundle shorter than its signature");
  sealed_bundle out;
  auto signed_bytes = raw.substr(0, raw.size() - signature::size);
  byte_reader in{signed_bytes};
  if (!read_head(in, out.content))
    return std::string("a bundle whose header breaks the format");
  std::string unpacked;
  auto body = read_body(in, unpacked);
  if (!body || !in.done())
    return std::string("a bundle whose operations cannot be unpacked");
  if (!read_operations(*body, out.content))
    return "bundle " + std::to_string(out.content.rid) + ":" + std::to_string(out.content.seq)
           + " has an operation that breaks the format";
  out.raw = raw;
  out.hash = blake2b(sign_as::bundle, signed_bytes);
  return out;
}

bool verify_bundle(const sealed_bundle& sealed, const device_key& by) {
  return verify_signature(by, sealed.hash, sealed.signed_with());
}

space_id space_of_bundle(std::string_view raw) {
  byte_reader in{raw};
  in.u8();
  return in.id<space_id>();
}

dot dot_of_bundle(std::string_view raw) {
  byte_reader in{raw};
  in.raw(1 + space_id::size);
  dot out;
  out.rid = in.u32();
  out.seq = in.u64();
  return in.ok() ? out : dot{};
}

} // namespace harp
