// What `harp engine-helper` does for the node: a request is taken apart into one of the calls that
// ExApps need and built anew; anything else is refused (quality.md S4). Pure.
#pragma once

#include "actors/docker_document.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace harp {

/// A request of the node's that came over a passed socket.
struct helper_question {
  std::string_view method, path, query, body; // path and query as sent, without `?`
};

/// The request as the helper sends it to the engine, in its own words; nothing: refused.
/// Allowed are the passthrough calls of rebuild_docker_call() and the requests of docker_document
/// whose objects are called `nc_app_*`. A container's document must be the very one that Harp
/// builds from its own fields, without mounts that `policy` refuses; commands and uploads are those
/// of certificate installations.
std::optional<engine_request> judge_helper_question(const helper_question& asked,
                                                    const bind_policy& policy);

} // namespace harp
