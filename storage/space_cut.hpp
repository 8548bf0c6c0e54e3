// Bundles that have become void are taken out of the rows again (storage.md 4.2, 5.3, 5.4).
#pragma once

#include "storage/checkpoint.hpp"
#include "storage/space_apply.hpp"

#include <map>

namespace harp {

/// Cuts each rid of `cuts` behind its number, and takes out what lies outside `line.covered` but not above `line.floor`.
/// What must not become void by that (bundles within the applied checkpoint) the caller has seen to.
void void_bundles(space_rows& rows, const std::map<replica_id, uint64_t>& cuts,
                  const checkpoint_mark& line, const apply_options& options, apply_result& result);

/// The author of voided content learns that it is to be made anew: notices for result.voided from `from` on.
void tell_voided(space_rows& rows, apply_result& result, size_t from);

} // namespace harp
