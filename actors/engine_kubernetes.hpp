// AppAPI's calls about ExApps as conversations with a Kubernetes API (appapi-harp.md 4.6; quality.md
// S4, K04). No Asio, no CAF: engines drives them. job.us->kubernetes must be set.
#pragma once

#include "actors/engine_docker.hpp"
#include "actors/kubernetes_facts.hpp"

namespace harp {

inline constexpr unsigned image_pull_polls_max
    = 3600;                                         // while nodes fetch an image, or room is made
inline constexpr unsigned pod_start_polls_max = 90; // after that
inline constexpr std::chrono::milliseconds pod_poll_interval{1'000};

/// The script of `job.call`. `job` outlives it.
script<exapp_answer> run_kubernetes(engine_job& job);

// -- for the other scripts -----------------------------------------------------------------------

kubernetes_documents documents(const engine_job& job);
/// Reads the call's Deployment and judges its owner.
script<found_container> find_deployment(engine_job& job);
/// Makes the Service, or what stands for it, and tells where the app is reached.
script<exapp_answer> run_expose(engine_job& job);
/// Where the app is reached, by what is in the cluster now; no place: the cluster does not say.
script<exapp_answer> run_resolve(engine_job& job);
script<exapp_answer> run_probe_cluster(engine_job& job);
script<exapp_answer> run_check_cluster(engine_job& job);
script<exapp_answer> run_list_deployments(engine_job& job);

} // namespace harp
