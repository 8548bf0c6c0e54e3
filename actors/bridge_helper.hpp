// `harp engine-helper`: the process that holds an engine's socket, so that the node need not. It has no
// network, starts no program after the node, and does only what helper_rules allow.
#pragma once

#include "actors/docker_document.hpp"
#include "web/cli.hpp"

namespace harp {

inline constexpr size_t helper_connections_max = 256;
inline constexpr size_t helper_body_bytes_max
    = 64 * 1024 * 1024; // a bundle of CA certificates as tar

/// Starts the node with a socket pair to this process, serves it until it ends, and passes signals on.
/// Returns the node's exit status.
int run_engine_helper(const bind_policy& policy, const web::helper_options& options);

} // namespace harp
