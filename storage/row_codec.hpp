// Rows of the space tables as bytes and back (storage.md 8). Node-local: never on the wire, no secret in them.
#pragma once

#include "storage/rows.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace harp {

inline constexpr size_t notice_arguments_max = 8;
inline constexpr size_t notice_bytes_max = 1024;
inline constexpr size_t life_dots_max = 1u << 16; // more replicas than a space may have
inline constexpr size_t row_text_bytes_max = 4096;

/// Every decoder takes what its encoder made and returns nothing for anything else (a damaged row). What the key of the
/// row says (lid, stamp) is given beside the bytes.
std::string encode(const node_row& row);
std::optional<node_row> decode_node(std::string_view bytes);

std::string encode(const event_row& row);
std::optional<event_row> decode_event(const stamp& at, std::string_view bytes);

std::string encode(const version_row& row);
std::optional<version_row> decode_version(const stamp& at, std::string_view bytes);

std::string encode(const dir_move_row& row);
std::optional<dir_move_row> decode_dir_move(const stamp& at, std::string_view bytes);

std::string encode(const replica_row& row);
std::optional<replica_row> decode_replica(std::string_view bytes);

/// Arguments beyond notice_arguments_max or notice_bytes_max are cut.
std::string encode(const notice_row& row);
std::optional<notice_row> decode_notice(uint64_t hlc, std::string_view bytes);

} // namespace harp
