#include "actors/engine_docker.hpp"

#include <nlohmann/json.hpp>

namespace harp {

namespace {

using json = nlohmann::ordered_json;

exapp_answer no_container(const engine_job& job) {
  return text_answer(404, "404 Not Found: there is no container " + job.call->container());
}

script<exapp_answer> run_exists(engine_job& job) {
  auto reply = co_await job.talk.ask(inspect_container_request(job.call->container()));
  if (reply.status == 404)
    co_return json_answer(200, json{{"exists", false}});
  auto facts = reply.status == 200 ? read_container(reply.body) : std::nullopt;
  if (!facts)
    co_return trouble_answer(reply, "looking for the container");
  co_return json_answer(200, json{{"exists", true}, {"image_ref", facts->image}});
}

/// Makes sure that the data volume is there and ours. `made` tells whether this call made it.
script<exapp_answer> provide_volume(engine_job& job, bool& made) {
  auto volume = job.call->volume();
  auto reply = co_await job.talk.ask(inspect_volume_request(volume));
  if (reply.status == 200) {
    auto facts = read_volume(reply.body);
    auto judged = judge_volume(facts.value_or(volume_facts{}), *job.us);
    if (judged.what == ownership::foreign)
      co_return owner_refusal("volume", volume, judged.owner);
    co_return exapp_answer{0, {}, {}};
  }
  if (reply.status != 404)
    co_return trouble_answer(reply, "looking for the volume");
  reply = co_await job.talk.ask(create_volume_request(*job.call, job.us->owner));
  made = reply.status == 201 || reply.status == 200;
  if (!made)
    co_return trouble_answer(reply, "making the volume");
  co_return exapp_answer{0, {}, {}};
}

/// The name is taken: says by whom, and undoes what was done for nothing.
script<exapp_answer> refuse_duplicate(engine_job& job, bool volume_made) {
  auto found = co_await find_container(job);
  if (found.refusal.status == 0)
    co_return text_answer(409, "409 Conflict: the container " + job.call->container()
                                   + " is there already");
  if (volume_made && found.refusal.status == 409)
    co_await job.talk.ask(remove_volume_request(job.call->volume()));
  co_return std::move(found.refusal);
}

/// The reason why a create call is refused before anything is asked of the engine, or "".
std::string create_fault(const engine_job& job) {
  for (const auto& mount : job.call->mounts)
    if (auto fault = mount_fault(mount, job.us->binds); !fault.empty())
      return fault;
  return {};
}

script<exapp_answer> run_create(engine_job& job) {
  if (auto fault = create_fault(job); !fault.empty())
    co_return text_answer(400, "400 Bad Request: " + fault);
  auto environment = exapp_environment(*job.call, *job.us);
  if (auto* fault = std::get_if<std::string>(&environment))
    co_return text_answer(400, "400 Bad Request: " + *fault);
  bool volume_made = false;
  auto refused = co_await provide_volume(job, volume_made);
  if (refused.status != 0)
    co_return refused;
  for (const auto& mount : job.call->mounts)
    job.tell("mounts " + mount.source + " of the engine's host at " + mount.target
             + (mount.read_only ? ", read-only" : ""));
  const auto& entries = std::get<std::vector<std::string>>(environment);
  auto reply = co_await job.talk.ask(create_container_request(*job.call, entries, job.us->owner));
  if (reply.status == 409)
    co_return co_await refuse_duplicate(job, volume_made);
  auto id = read_id(reply.body);
  if (reply.status != 201 || id.empty())
    co_return trouble_answer(reply, "making the container");
  co_return json_answer(201, json{{"id", id}, {"name", job.call->container()}});
}

script<exapp_answer> run_start_or_stop(engine_job& job, bool start) {
  auto found = co_await find_container(job);
  if (found.refusal.status != 0)
    co_return found.refusal;
  if (!found.facts)
    co_return no_container(job);
  auto name = job.call->container();
  auto request = start ? start_container_request(name)
                       : stop_container_request(name); // g++ 12 breaks it inside co_await
  auto reply = co_await job.talk.ask(std::move(request));
  if (reply.status == 204)
    co_return text_answer(204, {});
  if (reply.status == 304)
    co_return text_answer(200, name + (start ? " is running already" : " is stopped already"));
  if (reply.status == 404)
    co_return no_container(job);
  co_return trouble_answer(reply, start ? "starting the container" : "stopping the container");
}

/// A state as AppAPI wants it told; nothing: go on waiting.
struct start_verdict {
  bool started = false;
  std::string reason;
};
std::optional<start_verdict> judge_start(const container_facts& now) {
  if (now.status == "running" && now.health == "unhealthy")
    return start_verdict{true, "unhealthy"};
  if (now.status == "running" && now.health != "starting")
    return start_verdict{true, {}};
  bool waits = now.status == "running" || now.status == "created" || now.status == "restarting";
  if (waits)
    return std::nullopt;
  return start_verdict{false, "the container is " + now.status};
}

exapp_answer start_answer(const start_verdict& verdict, const std::string& status,
                          const std::string& health) {
  json body{{"started", verdict.started}, {"status", status}, {"health", nullptr}};
  if (!health.empty())
    body["health"] = health;
  if (!verdict.reason.empty())
    body["reason"] = verdict.reason;
  return json_answer(200, body);
}

script<exapp_answer> run_wait_for_start(engine_job& job) {
  container_facts last;
  for (unsigned poll = 0; poll < start_polls_max; ++poll) {
    if (poll > 0)
      co_await job.talk.pause(start_poll_interval);
    auto found = co_await find_container(job);
    if (found.refusal.status != 0)
      co_return found.refusal;
    start_verdict missing{false, "there is no such container"};
    if (!found.facts)
      co_return start_answer(missing, "not_found", {});
    if (found.facts->status != last.status || found.facts->health != last.health)
      job.tell("the container is " + found.facts->status
               + (found.facts->health.empty() ? "" : ", health " + found.facts->health));
    if (auto verdict = judge_start(*found.facts))
      co_return start_answer(*verdict, found.facts->status, found.facts->health);
    last = std::move(*found.facts);
  }
  start_verdict late{false, "it did not get ready in time"};
  co_return start_answer(late, last.status, last.health);
}

script<exapp_answer> judge_volume_removal(engine_job& job, bool& there) {
  auto reply = co_await job.talk.ask(inspect_volume_request(job.call->volume()));
  there = reply.status == 200;
  if (reply.status != 200 && reply.status != 404)
    co_return trouble_answer(reply, "looking for the volume");
  auto judged = judge_volume(read_volume(reply.body).value_or(volume_facts{}), *job.us);
  if (there && judged.what == ownership::foreign)
    co_return owner_refusal("volume", job.call->volume(), judged.owner);
  co_return exapp_answer{0, {}, {}};
}

/// Nothing is removed unless everything that is asked for may be.
script<exapp_answer> run_remove(engine_job& job) {
  auto found = co_await find_container(job);
  if (found.refusal.status != 0)
    co_return found.refusal;
  bool volume_there = false;
  if (job.call->remove_data) {
    auto refused = co_await judge_volume_removal(job, volume_there);
    if (refused.status != 0)
      co_return refused;
  }
  if (found.facts) {
    auto reply = co_await job.talk.ask(remove_container_request(job.call->container()));
    if (reply.status != 204 && reply.status != 404 && reply.status != 409)
      co_return trouble_answer(reply, "removing the container");
  }
  if (volume_there) {
    auto reply = co_await job.talk.ask(remove_volume_request(job.call->volume()));
    if (reply.status == 409)
      co_return text_answer(409, "409 Conflict: the volume " + job.call->volume() + " is in use");
    if (reply.status != 204 && reply.status != 404)
      co_return trouble_answer(reply, "removing the volume");
  }
  co_return text_answer(204, {});
}

script<exapp_answer> run_image_remove(engine_job& job) {
  json gone{{"deleted", true}, {"bytes_freed", 0}, {"reason", "not_found"}};
  auto reply = co_await job.talk.ask(inspect_image_request(job.call->image_ref));
  if (reply.status == 404)
    co_return json_answer(200, gone);
  if (reply.status != 200)
    co_return trouble_answer(reply, "looking for the image");
  int64_t bytes = read_image_bytes(reply.body).value_or(0);
  reply = co_await job.talk.ask(remove_image_request(job.call->image_ref));
  if (reply.status == 404)
    co_return json_answer(200, gone);
  if (reply.status == 409)
    co_return json_answer(200, json{{"deleted", false}, {"bytes_freed", 0}, {"reason", "in_use"}});
  if (reply.status != 200)
    co_return trouble_answer(reply, "removing the image");
  bytes = read_image_deleted(reply.body) ? bytes : 0;
  co_return json_answer(200, json{{"deleted", true}, {"bytes_freed", bytes}});
}

} // namespace

exapp_answer json_answer(int status, const json& body) {
  return {status, body.dump(-1, ' ', false, json::error_handler_t::replace), "application/json"};
}

exapp_answer owner_refusal(std::string_view what, const std::string& name,
                           const std::string& owner) {
  return text_answer(409, "409 Conflict: the " + std::string{what} + " " + name + " belongs to "
                              + owner);
}

exapp_answer text_answer(int status, std::string_view text) {
  return {status, std::string{text}, "text/plain"};
}

exapp_answer trouble_answer(const engine_reply& reply, std::string_view doing) {
  std::string text = "the container engine ";
  if (reply.trouble == engine_trouble::timeout)
    return text_answer(504, text + "did not answer in time while " + std::string{doing});
  if (reply.trouble == engine_trouble::unreachable)
    return text_answer(503, text + "cannot be reached: " + reply.error);
  if (reply.trouble == engine_trouble::malformed)
    return text_answer(503, text + "does not speak sound HTTP: " + reply.error);
  auto said = read_error(reply.body);
  return text_answer(503, text + "answered " + std::to_string(reply.status) + " while "
                              + std::string{doing} + (said.empty() ? "" : ": " + said));
}

script<found_container> find_container(engine_job& job) {
  found_container out;
  auto reply = co_await job.talk.ask(inspect_container_request(job.call->container()));
  if (reply.status == 404)
    co_return out;
  if (reply.status == 200)
    out.facts = read_container(reply.body);
  if (!out.facts) {
    out.refusal = trouble_answer(reply, "looking for the container");
    co_return out;
  }
  auto judged = judge_container(*out.facts, *job.us, job.app_secret);
  if (judged.what == ownership::foreign)
    out.refusal = owner_refusal("container", job.call->container(), judged.owner);
  else if (judged.what == ownership::adopted)
    job.adopted(*out.facts);
  co_return out;
}

script<exapp_answer> run_docker(engine_job& job) {
  switch (job.call->action) {
  case exapp_action::exists:
    return run_exists(job);
  case exapp_action::create:
    return run_create(job);
  case exapp_action::start:
    return run_start_or_stop(job, true);
  case exapp_action::stop:
    return run_start_or_stop(job, false);
  case exapp_action::wait_for_start:
    return run_wait_for_start(job);
  case exapp_action::remove:
    return run_remove(job);
  case exapp_action::image_remove:
    return run_image_remove(job);
  case exapp_action::install_certificates:
    return run_install_certificates(job);
  case exapp_action::check_engine:
    return run_check_engine(job);
  case exapp_action::list_apps:
    return run_list_apps(job);
  case exapp_action::probe_engine:
    return run_probe_engine(job);
  case exapp_action::expose: // Kubernetes only: not reached, the call's path is refused before
  case exapp_action::resolve:
  case exapp_action::read_logs:
    break;
  }
  return run_read_logs(job);
}

} // namespace harp
