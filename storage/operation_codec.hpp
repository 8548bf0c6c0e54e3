// Operations as bytes, inside bundles (storage.md 3.1). No I/O.
#pragma once

#include "storage/byte_codec.hpp"
#include "storage/op.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

/// Appends one operation: its type, then its fields.
void encode_operation(byte_writer& out, const operation& op);

/// Reads one operation and checks what can be checked without other bundles: lawful names, limits, kinds, and that a
/// Delete of bundle `at` lists no life dot of its author from `at` or later. A fault shows in the reader.
operation decode_operation(byte_reader& in, dot at);

} // namespace harp
