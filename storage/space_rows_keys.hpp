// What the tables of space_rows_lmdb share: keys, and the refusal of damaged rows.
#pragma once

#include "storage/row_key.hpp"
#include "storage/rows.hpp"

#include <cerrno>
#include <string>
#include <utility>

namespace harp {

inline constexpr size_t visit_batch
    = 256; // rows copied out before visitors run, so that no cursor stays open meanwhile

/// The decoded row, or storage_failure (EBADMSG) naming its table.
template <class Row>
Row sound(std::optional<Row> row, const char* table_name) {
  if (!row)
    throw storage_failure{EBADMSG, std::string("metadata database: a damaged row in table ")
                                       + table_name
                                       + "; restore copies/1 or fetch the space from a peer"};
  return std::move(*row);
}

inline row_key version_key(local_id lid, const stamp& at) {
  return row_key{}.u64(lid).at(at);
}

} // namespace harp
