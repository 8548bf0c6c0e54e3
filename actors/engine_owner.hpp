// Whose a container or volume is, and what Harp itself puts into an ExApp's environment
// (quality.md 3.3, 3.5, S3, S4, K04; appapi-harp.md FS2). Pure.
#pragma once

#include "actors/docker_document.hpp"
#include "actors/engine_facts.hpp"
#include "actors/kubernetes_document.hpp"
#include "actors/tunnel_credential.hpp"

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace harp {

/// Who this Harp works for, and its rules for new containers.
struct engine_identity {
  std::string owner;      // normalised NC_INSTANCE_URL
  std::string shared_key; // secret
  std::shared_ptr<const tunnel_credentials> credentials;
  bool legacy_exapp_key = false; // ExApps get the shared key, as with HaRP
  bool tunnel_tls = true;
  bind_policy binds;
  std::shared_ptr<const kubernetes_rules> kubernetes; // null: that backend is off
};

enum class ownership : uint8_t { ours, adopted, foreign };

struct owner_judgement {
  ownership what = ownership::ours;
  std::string owner; // foreign: whose, for people
};

/// A labelled container is its owner's. An unlabelled one is from HaRP: ours unless its environment
/// speaks of another Nextcloud. `app_secret` is what Nextcloud's record of the app holds, "" when
/// not known.
owner_judgement judge_container(const container_facts& found, const engine_identity& us,
                                std::string_view app_secret);
/// Volumes have no environment: an unlabelled one is adopted.
owner_judgement judge_volume(const volume_facts& found, const engine_identity& us);

/// The environment of a new container: the shared key, wherever it is a value, becomes the app's
/// tunnel credential. An error when none can be made.
std::variant<std::vector<std::string>, std::string> exapp_environment(const exapp_call& call,
                                                                      const engine_identity& us);

/// What an operator should know about a running container, in short words: "holds the shared key",
/// "mounts /x of the host".
std::vector<std::string> container_findings(const container_facts& found,
                                            const engine_identity& us);

} // namespace harp
