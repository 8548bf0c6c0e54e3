// What `harp engine`, `harp apps` and `harp adopt` want to know of an engine.
#include "actors/engine_docker.hpp"

#include <nlohmann/json.hpp>

#include <array>

namespace harp {

namespace {

using json = nlohmann::ordered_json;

constexpr size_t inspected_containers_max = 200;
constexpr const char* probe_name
    = "nc_app_harp-rights-check"; // never exists: every right shows as a 404

std::string right_of(const engine_reply& reply) {
  if (reply.status == 0)
    return "unknown";
  return reply.status == 401 || reply.status == 403 || reply.status == 405 ? "forbidden"
                                                                           : "granted";
}

exapp_answer json_text(const json& body) {
  return {200, body.dump(2, ' ', false, json::error_handler_t::replace), "application/json"};
}

script<json> probe_rights(engine_job& job) {
  json rights = json::object();
  std::string name = probe_name;
  std::array<std::pair<const char*, engine_request>, 6> probes{{
      {"list", list_containers_request()},
      {"start", start_container_request(name)},
      {"remove", remove_container_request(name)},
      {"exec", create_exec_request(name, {"true"})},
      {"upload", upload_request(name, {})},
      {"volumes", inspect_volume_request(name)},
  }};
  for (auto& [right, request] : probes) {
    auto reply = co_await job.talk.ask(std::move(request));
    rights[right] = right_of(reply);
  }
  co_return rights;
}

json app_entry(const container_facts& facts, const engine_job& job) {
  auto judged = judge_container(facts, *job.us, {});
  auto value = [&facts](const char* key) {
    return std::string{environment_value(facts.environment, key).value_or("")};
  };
  return json{{"container", facts.name},
              {"app", value("APP_ID")},
              {"version", value("APP_VERSION")},
              {"port", value("APP_PORT")},
              {"image", facts.image},
              {"status", facts.status},
              {"health", facts.health.empty() ? "none" : facts.health},
              {"owner", judged.what == ownership::ours      ? "this Nextcloud"
                        : judged.what == ownership::adopted ? "HaRP (adoptable)"
                                                            : judged.owner},
              {"findings", container_findings(facts, *job.us)}};
}

} // namespace

exapp_answer apps_answer(const std::vector<container_facts>& apps, const engine_job& job) {
  json list = json::array();
  for (const auto& facts : apps)
    list.push_back(app_entry(facts, job));
  return json_text(list);
}

script<exapp_answer> run_probe_engine(engine_job& job) {
  auto reply = co_await job.talk.ask(ping_request());
  if (reply.status != 200)
    co_return trouble_answer(reply, "answering a ping");
  co_return text_answer(200, "OK");
}

script<exapp_answer> run_check_engine(engine_job& job) {
  auto reply = co_await job.talk.ask(version_request());
  auto version = reply.status == 200 ? read_version(reply.body) : std::nullopt;
  if (!version)
    co_return trouble_answer(reply, "telling its version");
  auto rights = co_await probe_rights(job);
  co_return json_text(json{{"product", version->product},
                           {"version", version->version},
                           {"api", version->api},
                           {"api_min", version->api_min},
                           {"rights", rights}});
}

script<exapp_answer> run_list_apps(engine_job& job) {
  auto reply = co_await job.talk.ask(list_containers_request());
  auto names = reply.status == 200 ? read_container_names(reply.body) : std::nullopt;
  if (!names)
    co_return trouble_answer(reply, "listing containers");
  std::vector<container_facts> apps;
  for (const auto& name : *names) {
    if (apps.size() == inspected_containers_max)
      break;
    auto told = co_await job.talk.ask(inspect_container_request(name));
    if (auto facts = told.status == 200 ? read_container(told.body) : std::nullopt)
      apps.push_back(std::move(*facts));
  }
  co_return apps_answer(apps, job);
}

script<exapp_answer> run_read_logs(engine_job& job) {
  auto found = co_await find_container(job);
  if (found.refusal.status != 0)
    co_return found.refusal;
  if (!found.facts)
    co_return text_answer(404, "there is no container " + job.call->container());
  auto reply = co_await job.talk.ask(logs_request(job.call->container(), job.call->log_lines));
  if (reply.status != 200)
    co_return trouble_answer(reply, "reading logs");
  co_return exapp_answer{200, read_log_stream(reply.body), "text/plain; charset=utf-8"};
}

} // namespace harp
