// Fuzz target: bundles of hostile peers. What decodes keeps every limit, and its operations encode to what was read.
#include "storage/bundle_codec.hpp"
#include "storage/causal_gate.hpp"
#include "storage/operation_codec.hpp"

#include <cstdint>
#include <cstdlib>

using namespace harp;

namespace {

void require(bool holds) {
  if (!holds)
    std::abort();
}

void check_operation(const operation& op, dot at) {
  byte_writer out;
  encode_operation(out, op);
  byte_reader in{out.bytes()};
  auto again = decode_operation(in, at);
  require(in.done() && again.index() == op.index());
  byte_writer twice;
  encode_operation(twice, again);
  require(twice.bytes() == out.bytes());
}

void check_bundle(const sealed_bundle& sealed) {
  const auto& b = sealed.content;
  require(b.rid != 0 && b.seq != 0 && b.hlc != 0 && b.ops.size() <= bundle_ops_max);
  for (const auto& op : b.ops)
    check_operation(op, b.id());
  for (const auto& need : needs_of(b))
    require(need.rid != 0 && need.rid != b.rid && need.seq != 0);
  require(dot_of_bundle(sealed.raw) == b.id() && space_of_bundle(sealed.raw) == b.space);
  require(!verify_bundle(sealed, device_key{}));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  auto decoded = decode_bundle(bytes);
  if (auto* sealed = std::get_if<sealed_bundle>(&decoded))
    check_bundle(*sealed);
  byte_reader in{bytes};
  auto op = decode_operation(in, {1, 5});
  if (in.done())
    check_operation(op, {1, 5});
  return 0;
}
