// Brings an opened database to the schema this program expects (quality.md R8): space checked, backup made, steps resumed.
#pragma once

#include "storage/metadata_db.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace harp {

inline constexpr std::string_view schema_key = "schema"; // row of table conf

/// The version in that row; nothing when it is not a number.
std::optional<uint32_t> parse_schema_version(std::string_view text);

/// Writes the version into a new database, migrates an older one in bounded pieces. A killed migration goes on with the
/// next call. Fails, with the database as it was before the step, when there is no room, no step, or a write fails.
std::optional<storage_failure> settle_schema(metadata_db& db, const metadata_schema& schema);

} // namespace harp
