// Which certificates go where, and the conversation that brings them there.
#include "actors/engine_certificates.hpp"

#include "actors/engine_docker.hpp"
#include "actors/engine_tar.hpp"

#include <algorithm>
#include <array>

namespace harp {

namespace {

constexpr std::string_view pem_begin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view pem_end = "-----END CERTIFICATE-----";
constexpr unsigned stop_polls_max = 40;
constexpr unsigned exec_polls_max = 120;
constexpr std::chrono::milliseconds poll_interval{250};

bool is_base64_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+'
           || c == '/' || c == '=' || c == '\r' || c == '\n' || c == ' ';
  });
}

/// What a command in the container did; `code` is nothing when it could not be run.
struct exec_result {
  std::optional<int> code;
  std::string output;
  std::string fault;
};

script<exec_result> run_in_container(engine_job& job, std::vector<std::string> command) {
  exec_result out;
  auto reply = co_await job.talk.ask(create_exec_request(job.call->container(), command));
  auto id = read_id(reply.body);
  auto start = start_exec_request(id);
  auto look = inspect_exec_request(id);
  if (reply.status != 201 || !start || !look) {
    out.fault = trouble_answer(reply, "preparing a command").body;
    co_return out;
  }
  reply = co_await job.talk.ask(std::move(*start));
  if (reply.status != 200 && reply.status != 101) {
    out.fault = trouble_answer(reply, "running a command").body;
    co_return out;
  }
  out.output = read_log_stream(reply.body);
  for (unsigned poll = 0; poll < exec_polls_max && !out.code;
       ++poll) { // some engines end the stream first
    if (poll > 0)
      co_await job.talk.pause(poll_interval);
    auto state = co_await job.talk.ask(engine_request{*look});
    if (state.status != 200) {
      out.fault = trouble_answer(state, "looking at a command").body;
      co_return out;
    }
    out.code = read_exit_code(state.body);
  }
  if (!out.code)
    out.fault = "the command did not end in time";
  co_return out;
}

script<exapp_answer> upload(engine_job& job, std::string tar, std::string doing) {
  auto reply = co_await job.talk.ask(upload_request(job.call->container(), std::move(tar)));
  if (reply.status == 200)
    co_return exapp_answer{0, {}, {}};
  if (reply.status == 404)
    co_return text_answer(404, "404 Not Found: there is no container " + job.call->container());
  co_return trouble_answer(reply, doing);
}

std::string frp_tar(const frp_files& files) {
  return make_tar({{"certs/frp/ca.crt", files.ca},
                   {"certs/frp/client.crt", files.certificate},
                   {"certs/frp/client.key", files.key}});
}

std::string bundle_tar(const std::vector<std::string>& certificates, const std::string& directory) {
  std::vector<tar_file> files;
  for (size_t i = 0; i < certificates.size(); ++i)
    files.push_back(
        {directory.substr(1) + "/custom_ca_cert_" + std::to_string(i) + ".crt", certificates[i]});
  return make_tar(files);
}

/// The system's own CAs, as far as this container lets itself be told. The text says what failed.
script<std::string> install_bundle(engine_job& job) {
  auto certificates = split_bundle(*job.call->certificate_bundle);
  if (certificates.empty())
    co_return std::string{"the bundle holds no certificate"};
  std::vector<std::string> command{"cat", "/etc/os-release"};
  auto release = co_await run_in_container(job, command);
  if (release.code != 0)
    co_return "/etc/os-release cannot be read in the container"
        + (release.fault.empty() ? "" : ": " + release.fault);
  auto place = certificate_place_of(release.output);
  if (place.directory.empty())
    co_return std::string{"the container's distribution is not known"};
  command = {"mkdir", "-p", place.directory};
  co_await run_in_container(job, command); // an upload makes missing directories as well
  auto refused
      = co_await upload(job, bundle_tar(certificates, place.directory), "uploading certificates");
  if (refused.status != 0)
    co_return refused.body;
  auto updated = co_await run_in_container(job, place.update);
  if (updated.code != 0)
    co_return place.update.front() + " failed in the container"
        + (updated.fault.empty() ? "" : ": " + updated.fault);
  job.tell("installed " + std::to_string(certificates.size()) + " CA certificates");
  co_return std::string{};
}

/// Stopped means stopped: a start that follows must answer 204.
script<exapp_answer> stop_again(engine_job& job) {
  auto reply = co_await job.talk.ask(stop_container_request(job.call->container()));
  if (reply.status != 204 && reply.status != 304)
    co_return trouble_answer(reply, "stopping the container again");
  for (unsigned poll = 0; poll < stop_polls_max; ++poll) {
    if (poll > 0)
      co_await job.talk.pause(poll_interval);
    auto found = co_await find_container(job);
    if (found.refusal.status != 0)
      co_return found.refusal;
    if (!found.facts || !found.facts->running)
      co_return exapp_answer{0, {}, {}};
  }
  co_return text_answer(503, "the container does not stop after its certificates were installed");
}

} // namespace

certificate_place certificate_place_of(std::string_view os_release) {
  std::string text{os_release};
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  });
  auto says = [&text](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const char* name) { return text.find(name) != text.npos; });
  };
  if (says({"alpine", "debian", "ubuntu"}))
    return {"/usr/local/share/ca-certificates", {"update-ca-certificates"}};
  if (says({"centos", "almalinux", "rhel", "fedora"}))
    return {"/etc/pki/ca-trust/source/anchors", {"update-ca-trust", "extract"}};
  return {};
}

std::vector<std::string> split_bundle(std::string_view bundle) {
  std::vector<std::string> out;
  while (out.size() < bundle_certificates_max) {
    size_t begin = bundle.find(pem_begin);
    size_t end = begin == bundle.npos ? begin : bundle.find(pem_end, begin);
    if (end == bundle.npos)
      break;
    auto body = bundle.substr(begin + pem_begin.size(), end - begin - pem_begin.size());
    auto whole = bundle.substr(begin, end + pem_end.size() - begin);
    if (is_base64_text(body) && whole.size() <= certificate_bytes_max)
      out.push_back(std::string{whole} + "\n");
    bundle.remove_prefix(end + pem_end.size());
  }
  return out;
}

/// The tunnel's files go first and need no running container (FR5): an image without `cat`, or one
/// that ends at once, still gets its tunnel.
script<exapp_answer> run_install_certificates(engine_job& job) {
  auto found = co_await find_container(job);
  if (found.refusal.status != 0)
    co_return found.refusal;
  if (!found.facts)
    co_return text_answer(404, "404 Not Found: there is no container " + job.call->container());
  if (job.call->install_frp_certificates && job.files) {
    auto refused = co_await upload(job, frp_tar(*job.files), "uploading the tunnel's certificates");
    if (refused.status != 0)
      co_return refused;
    job.tell("uploaded the tunnel's certificates");
  }
  if (!job.call->certificate_bundle)
    co_return text_answer(204, {});
  bool started_here = false;
  if (!found.facts->running) {
    auto reply = co_await job.talk.ask(start_container_request(job.call->container()));
    started_here = reply.status == 204 || reply.status == 304;
    if (!started_here) {
      if (reply.status == 0)
        co_return trouble_answer(reply, "starting the container");
      job.tell("CA certificates were not installed: "
               + trouble_answer(reply, "starting the container").body);
      co_return text_answer(204, {});
    }
  }
  auto failed = co_await install_bundle(job);
  if (!failed.empty())
    job.tell("CA certificates were not installed: " + failed);
  if (started_here) {
    auto refused = co_await stop_again(job);
    if (refused.status != 0)
      co_return refused;
  }
  co_return text_answer(204, {});
}

} // namespace harp
