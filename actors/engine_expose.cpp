// How an ExApp in Kubernetes becomes reachable, and where it is now (appapi-harp.md 4.6).
#include "actors/engine_kubernetes.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

namespace harp {

namespace {

using json = nlohmann::ordered_json;

/// What is known so far: a place, or why there is none.
struct place_answer {
  std::optional<app_place> place;
  bool waits = false;              // a load balancer has no address yet
  exapp_answer refusal{0, {}, {}}; // status 0: no trouble
};

std::string mark(const std::map<std::string, std::string>& marks, std::string_view key) {
  auto found = marks.find(std::string{key});
  return found == marks.end() ? std::string{} : found->second;
}

script<place_answer> node_place(engine_job& job, const service_facts& service) {
  place_answer out;
  auto name = mark(service.annotations, node_name_annotation);
  auto selector = mark(service.annotations, node_selector_annotation);
  auto type = mark(service.annotations, node_type_annotation);
  auto reply = co_await job.talk.ask(list_nodes_request(name, selector));
  auto nodes = reply.status == 200 ? read_nodes(reply.body) : std::nullopt;
  if (!nodes) {
    out.refusal = trouble_answer(reply, "listing nodes");
    co_return out;
  }
  auto host = pick_node_address(*nodes, type.empty() ? "InternalIP" : type);
  if (host.empty())
    out.refusal = text_answer(503, "503 Service Unavailable: no node of the cluster has an address "
                                   "by which this app is reached");
  else
    out.place = app_place{host, service.node_port};
  co_return out;
}

script<place_answer> service_place(engine_job& job, const service_facts& service) {
  place_answer out;
  auto host = mark(service.annotations, service_host_annotation);
  if (service.type == "NodePort") {
    if (host.empty())
      co_return co_await node_place(job, service);
    out.place = app_place{host, service.node_port};
  } else if (service.type == "LoadBalancer") {
    out.waits = host.empty() && service.balancer.empty();
    if (!out.waits)
      out.place = app_place{host.empty() ? service.balancer : host, service.port};
  } else {
    bool headless = service.cluster_ip.empty() || service.cluster_ip == "None";
    if (host.empty())
      host = headless ? service.name + "." + job.us->kubernetes->name_space + ".svc"
                      : service.cluster_ip;
    out.place = app_place{host, service.port};
  }
  if (out.place && (!is_host_text(out.place->host) || out.place->port == 0))
    out.refusal
        = text_answer(503, "503 Service Unavailable: the cluster's answer about the Service "
                               + service.name + " names no place");
  co_return out;
}

exapp_answer expose_answer(const engine_job& job, const app_place& at, expose_type type,
                           const std::string& service) {
  auto out = json_answer(200, json{{"appId", job.call->name},
                                   {"host", at.host},
                                   {"port", at.port},
                                   {"exposeType", to_string(type)},
                                   {"serviceName", service.empty() ? json{} : json(service)},
                                   {"namespace", job.us->kubernetes->name_space}});
  out.place = at;
  return out;
}

script<exapp_answer> expose_by_hand(engine_job& job) {
  const auto& wish = *job.call->wish;
  auto name = kubernetes_names{*job.call}.deployment;
  app_place at{wish.upstream_host, wish.upstream_port.value_or(wish.port)};
  auto reply = co_await job.talk.ask(documents(job).annotate_upstream(name, at));
  if (reply.status == 404)
    co_return text_answer(404, "404 Not Found: there is no Deployment " + name);
  if (reply.status != 200)
    co_return trouble_answer(reply, "noting the upstream");
  co_return expose_answer(job, at, expose_type::manual, {});
}

/// Polls until the Service has a place; a load balancer takes its time.
script<exapp_answer> await_place(engine_job& job) {
  const auto& wish = *job.call->wish;
  auto name = kubernetes_names{*job.call}.deployment;
  auto waited = std::chrono::milliseconds{0};
  for (;;) {
    auto reply = co_await job.talk.ask(documents(job).get_service(name));
    auto service = reply.status == 200 ? read_service(reply.body) : std::nullopt;
    if (!service)
      co_return trouble_answer(reply, "looking for the Service");
    auto judged = judge_volume({service->name, service->annotations}, *job.us);
    if (judged.what == ownership::foreign)
      co_return owner_refusal("Service", name, judged.owner);
    auto found = co_await service_place(job, *service);
    if (found.refusal.status != 0)
      co_return found.refusal;
    if (found.place)
      co_return expose_answer(job, *found.place, wish.type, name);
    if (waited >= wish.wait_limit)
      co_return text_answer(504, "504 Gateway Timeout: the load balancer of the Service " + name
                                     + " got no address in time");
    if (waited.count() == 0)
      job.tell("waits for the load balancer's address");
    co_await job.talk.pause(wish.wait_interval);
    waited += wish.wait_interval;
  }
}

/// The upstream that a call with expose_type manual noted; nothing: none was.
std::optional<app_place> noted_place(const container_facts& deployment) {
  auto port_text = mark(deployment.labels, upstream_port_annotation);
  app_place out{mark(deployment.labels, upstream_host_annotation), 0};
  const char* end = port_text.data() + port_text.size();
  auto [stop, error] = std::from_chars(port_text.data(), end, out.port);
  bool sound = error == std::errc{} && stop == end && out.port != 0 && is_host_text(out.host);
  return sound ? std::optional{out} : std::nullopt;
}

script<exapp_answer> resolve_noted(engine_job& job) {
  auto names = kubernetes_names{*job.call};
  auto reply = co_await job.talk.ask(documents(job).list_deployments(names.base));
  auto list = reply.status == 200 ? read_deployments(reply.body) : std::nullopt;
  if (!list)
    co_return trouble_answer(reply, "listing Deployments");
  std::stable_partition(list->begin(), list->end(), // the app's own before those of its roles
                        [&](const container_facts& one) { return one.name == names.base; });
  exapp_answer out = text_answer(200, {});
  for (const auto& deployment : *list) {
    if (judge_container(deployment, *job.us, job.app_secret).what == ownership::foreign)
      continue;
    out.place = noted_place(deployment);
    if (out.place)
      break;
  }
  co_return out;
}

} // namespace

script<exapp_answer> run_expose(engine_job& job) {
  auto name = kubernetes_names{*job.call}.deployment;
  auto found = co_await find_deployment(job);
  if (found.refusal.status != 0)
    co_return found.refusal;
  if (job.call->wish->type == expose_type::manual)
    co_return co_await expose_by_hand(job);
  auto reply = co_await job.talk.ask(documents(job).create_service(*job.call));
  if (reply.status != 201 && reply.status != 200 && reply.status != 409)
    co_return trouble_answer(reply, "making the Service");
  if (reply.status == 409)
    job.tell("uses the Service " + name + " that is there");
  co_return co_await await_place(job);
}

script<exapp_answer> run_resolve(engine_job& job) {
  auto base = kubernetes_names{*job.call}.base;
  auto reply = co_await job.talk.ask(documents(job).get_service(base));
  std::optional<service_facts> service;
  if (reply.status == 200)
    service = read_service(reply.body);
  if (reply.status == 404) {
    reply = co_await job.talk.ask(documents(job).list_services(base));
    if (reply.status == 200)
      service = read_first_service(reply.body);
  }
  if (!service)
    co_return trouble_answer(reply, "looking for the Service");
  bool foreign
      = judge_volume({service->name, service->annotations}, *job.us).what == ownership::foreign;
  if (service->name.empty() || foreign)
    co_return co_await resolve_noted(job);
  auto found = co_await service_place(job, *service);
  if (found.refusal.status != 0)
    co_return found.refusal;
  if (found.waits)
    co_return text_answer(503, "503 Service Unavailable: the load balancer has no address yet");
  exapp_answer out = text_answer(200, {});
  out.place = found.place;
  co_return out;
}

} // namespace harp
