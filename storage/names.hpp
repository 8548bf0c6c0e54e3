// Names of nodes: which are lawful, and their one normal form, UTF-8 NFC (storage.md 2). is_lawful_name is in op.hpp.
#pragma once

#include "storage/op.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace harp {

/// Longest name a disk may give us before normalisation; Linux allows 255 bytes, others a little more.
inline constexpr size_t disk_name_bytes_max = 1024;

/// `name` in NFC; nothing when it is not UTF-8 or longer than disk_name_bytes_max. The result may still be unlawful
/// (too long, "." and so on): ask is_lawful_name.
std::optional<std::string> to_nfc(std::string_view name);

} // namespace harp
