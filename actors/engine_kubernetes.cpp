#include "actors/engine_kubernetes.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace harp {

namespace {

using json = nlohmann::ordered_json;

bool is_done(const engine_reply& reply) {
  return reply.status == 200 || reply.status == 201 || reply.status == 202;
}

exapp_answer no_deployment(const std::string& name) {
  return text_answer(404, "404 Not Found: there is no Deployment " + name);
}

script<exapp_answer> run_exists(engine_job& job) {
  auto name = kubernetes_names{*job.call}.deployment;
  auto reply = co_await job.talk.ask(documents(job).get_deployment(name));
  if (reply.status != 200 && reply.status != 404)
    co_return trouble_answer(reply, "looking for the Deployment");
  co_return json_answer(200, json{{"exists", reply.status == 200}});
}

// -- create ----------------------------------------------------------------------------------------

/// Judges the claim that is there. `there` tells whether it is; a role without the right to read
/// claims, as HaRP's, cannot tell whose it is: `unknown`.
script<exapp_answer> judge_claim_owner(engine_job& job, bool& there, bool& unknown) {
  auto name = kubernetes_names{*job.call}.claim;
  auto reply = co_await job.talk.ask(documents(job).get_claim(name));
  unknown = reply.status == 403;
  there = reply.status == 200;
  if (unknown || reply.status == 404)
    co_return exapp_answer{0, {}, {}};
  auto facts = there ? read_claim(reply.body) : std::nullopt;
  if (!facts)
    co_return trouble_answer(reply, "looking for the volume claim");
  auto judged = judge_volume(*facts, *job.us);
  if (judged.what == ownership::foreign)
    co_return owner_refusal("volume claim", name, judged.owner);
  co_return exapp_answer{0, {}, {}};
}

script<exapp_answer> provide_claim(engine_job& job, bool& made) {
  auto reply = co_await job.talk.ask(documents(job).create_claim(*job.call));
  made = is_done(reply);
  if (made)
    co_return exapp_answer{0, {}, {}};
  if (reply.status != 409)
    co_return trouble_answer(reply, "making the volume claim");
  bool there = false;
  bool unknown = false;
  auto refused = co_await judge_claim_owner(job, there, unknown);
  if (unknown)
    job.tell("uses the volume claim that is there without knowing whose it is: the role of Harp "
             "lacks `get` on persistentvolumeclaims");
  co_return refused;
}

/// The name is taken: says by whom, and undoes what was done for nothing.
script<exapp_answer> refuse_duplicate(engine_job& job, bool claim_made) {
  kubernetes_names names{*job.call};
  auto found = co_await find_deployment(job);
  if (found.refusal.status == 0)
    co_return text_answer(409,
                          "409 Conflict: the Deployment " + names.deployment + " is there already");
  if (claim_made && found.refusal.status == 409)
    co_await job.talk.ask(documents(job).delete_claim(names.claim));
  co_return std::move(found.refusal);
}

script<exapp_answer> run_create(engine_job& job) {
  auto environment = exapp_environment(*job.call, *job.us);
  if (auto* fault = std::get_if<std::string>(&environment))
    co_return text_answer(400, "400 Bad Request: " + *fault);
  if (!job.call->mounts.empty())
    job.tell("mount points are left out: Kubernetes has no directories of a host to give");
  bool claim_made = false;
  auto refused = co_await provide_claim(job, claim_made);
  if (refused.status != 0)
    co_return refused;
  const auto& entries = std::get<std::vector<std::string>>(environment);
  auto reply = co_await job.talk.ask(documents(job).create_deployment(*job.call, entries));
  if (reply.status == 409)
    co_return co_await refuse_duplicate(job, claim_made);
  if (!is_done(reply))
    co_return trouble_answer(reply, "making the Deployment");
  co_return json_answer(201, json{{"name", kubernetes_names{*job.call}.deployment}});
}

script<exapp_answer> run_scale(engine_job& job, unsigned replicas) {
  auto name = kubernetes_names{*job.call}.deployment;
  auto found = co_await find_deployment(job);
  if (found.refusal.status != 0)
    co_return found.refusal;
  if (!found.facts)
    co_return no_deployment(name);
  auto reply = co_await job.talk.ask(documents(job).scale_deployment(name, replicas));
  if (reply.status == 404)
    co_return no_deployment(name);
  if (!is_done(reply))
    co_return trouble_answer(reply,
                             replicas > 0 ? "starting the Deployment" : "stopping the Deployment");
  co_return text_answer(204, {});
}

// -- wait_for_start ----------------------------------------------------------------------------------

struct pod_verdict {
  bool started = false;
  std::string status, health;
};

/// Nothing: go on waiting.
std::optional<pod_verdict> judge_pod(const pod_facts& pod) {
  if (pod.phase == "Running" && pod.ready)
    return pod_verdict{true, "running", "ready"};
  if (pod.phase == "Succeeded")
    return pod_verdict{true, "succeeded", "ready"};
  if (pod.phase == "Failed")
    return pod_verdict{false, "failed", "not_ready"};
  if (pod.phase == "Unknown")
    return pod_verdict{false, "unknown", "not_ready"};
  for (const char* reason : {"ErrImagePull", "ImagePullBackOff", "InvalidImageName"})
    if (pod.waiting_reason == reason)
      return pod_verdict{false, "pending", "image_error"};
  return std::nullopt;
}

/// Nothing has begun to run: a node is looked for, or fetches the image.
bool is_prepared(const pod_facts& pod) {
  return pod.phase != "Running"
         && (pod.waiting_reason.empty() || pod.waiting_reason == "ContainerCreating"
             || pod.waiting_reason == "PodInitializing");
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c | 0x20);
  return text;
}

exapp_answer pod_answer(const pod_verdict& verdict, const pod_facts& pod) {
  auto or_null = [](const std::string& text) { return text.empty() ? json{} : json(text); };
  return json_answer(200, json{{"started", verdict.started},
                               {"status", verdict.status},
                               {"health", or_null(verdict.health)},
                               {"reason", or_null(pod.waiting_reason)},
                               {"message", or_null(pod.waiting_message)}});
}

void tell_change(engine_job& job, const pod_facts& before, const pod_facts& now) {
  if (now.phase != before.phase || now.waiting_reason != before.waiting_reason)
    job.tell("the pod is " + (now.phase.empty() ? "not there yet" : lower(now.phase))
             + (now.waiting_reason.empty() ? "" : ", it waits: " + now.waiting_reason));
}

script<exapp_answer> run_wait_for_start(engine_job& job) {
  auto name = kubernetes_names{*job.call}.deployment;
  auto found = co_await find_deployment(job);
  if (found.refusal.status != 0)
    co_return found.refusal;
  pod_facts pod;
  if (!found.facts)
    co_return pod_answer({false, "not_found", {}}, pod);
  unsigned started_polls = 0;
  for (unsigned poll = 0; poll < image_pull_polls_max && started_polls < pod_start_polls_max;
       ++poll) {
    if (poll > 0)
      co_await job.talk.pause(pod_poll_interval);
    auto reply = co_await job.talk.ask(documents(job).list_pods(name));
    auto pods = reply.status == 200 ? read_pods(reply.body) : std::nullopt;
    if (!pods)
      co_return trouble_answer(reply, "looking for the pod");
    auto now = pods->empty() ? pod_facts{} : std::move(pods->front());
    tell_change(job, pod, now);
    pod = std::move(now);
    if (auto verdict = judge_pod(pod))
      co_return pod_answer(*verdict, pod);
    started_polls = is_prepared(pod) ? 0 : started_polls + 1;
  }
  co_return pod_answer({false, pod.phase.empty() ? "pending" : lower(pod.phase), "timeout"}, pod);
}

// -- remove ------------------------------------------------------------------------------------------

/// What may go, besides the Deployment.
struct removal {
  bool claim = false;
  bool service = false;
};

/// Judges everything that is asked for before anything is removed.
script<exapp_answer> judge_removal(engine_job& job, removal& what) {
  kubernetes_names names{*job.call};
  auto found = co_await find_deployment(job);
  if (found.refusal.status != 0)
    co_return found.refusal;
  if (job.call->remove_data) {
    bool unknown = false;
    auto refused = co_await judge_claim_owner(job, what.claim, unknown);
    if (refused.status != 0)
      co_return refused;
    if (unknown && !found.facts)
      co_return text_answer(503, "503 Service Unavailable: whose the volume claim is cannot be "
                                 "told; give Harp's role `get` on persistentvolumeclaims");
    what.claim = what.claim || unknown; // its Deployment is ours, and mounts it
  }
  auto reply = co_await job.talk.ask(documents(job).get_service(names.deployment));
  if (reply.status == 404)
    co_return exapp_answer{0, {}, {}};
  auto service = reply.status == 200 ? read_service(reply.body) : std::nullopt;
  if (!service)
    co_return trouble_answer(reply, "looking for the Service");
  auto managed = service->labels.find(std::string{managed_label});
  auto judged = judge_volume({service->name, service->annotations}, *job.us);
  what.service = managed != service->labels.end() && managed->second == "harp"
                 && judged.what != ownership::foreign;
  co_return exapp_answer{0, {}, {}};
}

script<exapp_answer> run_remove(engine_job& job) {
  kubernetes_names names{*job.call};
  removal what;
  auto refused = co_await judge_removal(job, what);
  if (refused.status != 0)
    co_return refused;
  auto reply = co_await job.talk.ask(documents(job).delete_deployment(names.deployment));
  if (!is_done(reply) && reply.status != 404)
    co_return trouble_answer(reply, "removing the Deployment");
  if (what.claim) {
    reply = co_await job.talk.ask(documents(job).delete_claim(names.claim));
    if (!is_done(reply) && reply.status != 404)
      co_return trouble_answer(reply, "removing the volume claim");
  }
  if (what.service) {
    reply = co_await job.talk.ask(documents(job).delete_service(names.deployment));
    if (!is_done(reply) && reply.status != 404)
      co_return trouble_answer(reply, "removing the Service");
  }
  co_return text_answer(204, {});
}

script<exapp_answer> answer_at_once(engine_job&, exapp_answer answer) {
  co_return answer;
}

} // namespace

kubernetes_documents documents(const engine_job& job) {
  return {*job.us->kubernetes, job.us->owner};
}

script<found_container> find_deployment(engine_job& job) {
  found_container out;
  auto name = kubernetes_names{*job.call}.deployment;
  auto reply = co_await job.talk.ask(documents(job).get_deployment(name));
  if (reply.status == 404)
    co_return out;
  if (reply.status == 200)
    out.facts = read_deployment(reply.body);
  if (!out.facts) {
    out.refusal = trouble_answer(reply, "looking for the Deployment");
    co_return out;
  }
  auto judged = judge_container(*out.facts, *job.us, job.app_secret);
  auto app = out.facts->labels.find(std::string{app_label});
  if (judged.what == ownership::foreign)
    out.refusal = owner_refusal("Deployment", name, judged.owner);
  else if (app != out.facts->labels.end() && app->second != job.call->name)
    out.refusal
        = owner_refusal("Deployment", name, "the app " + app->second); // names were shortened
  else if (judged.what == ownership::adopted)
    job.adopted(*out.facts);
  co_return out;
}

script<exapp_answer> run_kubernetes(engine_job& job) {
  switch (job.call->action) {
  case exapp_action::exists:
    return run_exists(job);
  case exapp_action::create:
    return run_create(job);
  case exapp_action::start:
    return run_scale(job, 1);
  case exapp_action::stop:
    return run_scale(job, 0);
  case exapp_action::wait_for_start:
    return run_wait_for_start(job);
  case exapp_action::remove:
    return run_remove(job);
  case exapp_action::install_certificates: // apps in a cluster have no tunnel
    return answer_at_once(job, text_answer(204, {}));
  case exapp_action::expose:
    return run_expose(job);
  case exapp_action::resolve:
    return run_resolve(job);
  case exapp_action::probe_engine:
    return run_probe_cluster(job);
  case exapp_action::check_engine:
    return run_check_cluster(job);
  case exapp_action::list_apps:
    return run_list_deployments(job);
  case exapp_action::image_remove:
  case exapp_action::read_logs:
    break;
  }
  return answer_at_once(job, text_answer(501, "Harp may not do this in a cluster: `kubectl logs` "
                                              "reads what pods wrote, nodes clear away images"));
}

} // namespace harp
