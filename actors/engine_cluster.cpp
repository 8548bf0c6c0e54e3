// What /info, `harp engine` and `harp apps` want to know of a Kubernetes cluster.
#include "actors/engine_kubernetes.hpp"

#include <nlohmann/json.hpp>

#include <array>

namespace harp {

namespace {

using json = nlohmann::ordered_json;

/// Every right Harp makes use of, and nothing else: deploy/kubernetes/role.yaml grants these.
struct wanted_right {
  const char* group;
  const char* resource;
  const char* verb;
};
constexpr std::array<wanted_right, 16> rights{{
    {"apps", "deployments", "get"},
    {"apps", "deployments", "list"},
    {"apps", "deployments", "create"},
    {"apps", "deployments", "patch"},
    {"apps", "deployments", "delete"},
    {"", "services", "get"},
    {"", "services", "list"},
    {"", "services", "create"},
    {"", "services", "delete"},
    {"", "persistentvolumeclaims", "get"},
    {"", "persistentvolumeclaims", "create"},
    {"", "persistentvolumeclaims", "delete"},
    {"", "pods", "list"},
    {"", "nodes", "list"}, // of the cluster; only for node ports
    // What Harp must not need; granted, it is a finding.
    {"", "secrets", "get"},
    {"", "pods/exec", "create"},
}};
constexpr size_t needed_rights = 14;

script<json> review_rights(engine_job& job) {
  json out = json::object();
  for (size_t i = 0; i < rights.size(); ++i) {
    const auto& right = rights[i];
    std::string resource = right.resource;
    std::string scope = resource == "nodes" ? std::string{} : job.us->kubernetes->name_space;
    auto question = access_review_request(scope, right.group, resource, right.verb);
    auto reply = co_await job.talk.ask(std::move(question));
    auto allowed
        = reply.status == 201 || reply.status == 200 ? read_allowed(reply.body) : std::nullopt;
    std::string word = !allowed ? "unknown" : *allowed ? "granted" : "forbidden";
    if (i >= needed_rights)
      word = allowed && *allowed ? "granted, but Harp does not need it"
                                 : "not granted, as it should be";
    out[right.verb + (" " + resource)] = word;
  }
  co_return out;
}

} // namespace

script<exapp_answer> run_probe_cluster(engine_job& job) {
  auto reply = co_await job.talk.ask(api_request());
  if (reply.status != 200)
    co_return trouble_answer(reply, "answering at /api");
  co_return text_answer(200, "OK");
}

script<exapp_answer> run_check_cluster(engine_job& job) {
  auto reply = co_await job.talk.ask(api_version_request());
  auto version = reply.status == 200 ? read_git_version(reply.body) : std::string{};
  if (version.empty())
    co_return trouble_answer(reply, "telling its version");
  auto reviewed = co_await review_rights(job);
  co_return json_answer(200, json{{"product", "Kubernetes"},
                                  {"version", version},
                                  {"namespace", job.us->kubernetes->name_space},
                                  {"rights", reviewed}});
}

script<exapp_answer> run_list_deployments(engine_job& job) {
  std::string everybody;
  auto reply = co_await job.talk.ask(documents(job).list_deployments(everybody));
  auto list = reply.status == 200 ? read_deployments(reply.body) : std::nullopt;
  if (!list)
    co_return trouble_answer(reply, "listing Deployments");
  co_return apps_answer(*list, job);
}

} // namespace harp
