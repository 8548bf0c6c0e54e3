// AppAPI's calls about ExApp containers as conversations with a Docker or Podman engine
// (appapi-harp.md 4.5; quality.md K04). No Asio, no CAF: engines drives them.
#pragma once

#include "actors/engine_owner.hpp"
#include "actors/engine_script.hpp"

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace harp {

inline constexpr unsigned start_polls_max = 180;
inline constexpr std::chrono::milliseconds start_poll_interval{500};

/// What ExApps need to bring up their tunnel: ca.crt, client.crt, client.key. The key is secret.
struct frp_files {
  std::string ca, certificate, key;
};

/// One conversation and everything it may look at; outlives its script.
struct engine_job {
  engine_talk talk;
  std::shared_ptr<const exapp_call> call;
  std::shared_ptr<const engine_identity> us;
  std::shared_ptr<const frp_files> files; // install_certificates; may be null
  std::string app_secret;                 // of Nextcloud's record, "" when not known; secret
  /// Told in short words what happens, for the log.
  std::function<void(std::string_view what)> tell;
  /// Told that an unlabelled container of HaRP's was taken over.
  std::function<void(const container_facts& found)> adopted;
};

/// A container as a conversation found it; `refusal.status` is 0 when it may go on.
struct found_container {
  std::optional<container_facts> facts; // nothing: there is none
  exapp_answer refusal{0, {}, {}};
};

/// The script of `job.call`. `job` outlives it.
script<exapp_answer> run_docker(engine_job& job);

// -- for the other scripts -----------------------------------------------------------------------

exapp_answer text_answer(int status, std::string_view text);
exapp_answer json_answer(int status, const nlohmann::ordered_json& body);
/// 409: `what` called `name` is somebody else's.
exapp_answer owner_refusal(std::string_view what, const std::string& name,
                           const std::string& owner);
/// The list that `harp apps ls` shows, one engine's part.
exapp_answer apps_answer(const std::vector<container_facts>& apps, const engine_job& job);
/// What an unexpected reply means to AppAPI: 503, or 504 when it was time that ran out.
exapp_answer trouble_answer(const engine_reply& reply, std::string_view doing);
/// Inspects the call's container and judges its owner.
script<found_container> find_container(engine_job& job);
script<exapp_answer> run_install_certificates(engine_job& job);
script<exapp_answer> run_probe_engine(engine_job& job);
script<exapp_answer> run_check_engine(engine_job& job);
script<exapp_answer> run_list_apps(engine_job& job);
script<exapp_answer> run_read_logs(engine_job& job);

} // namespace harp
