// What the engine helper does for the node, and all it refuses (quality.md S4).
#define CAF_SUITE helper_rules
#include "actors/engine_certificates.hpp"
#include "actors/engine_tar.hpp"
#include "actors/helper_rules.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

std::optional<engine_request> judge(const std::string& method, const std::string& target,
                                    const std::string& body = {}, const bind_policy& policy = {}) {
  auto question = target.find('?');
  auto path = target.substr(0, question);
  auto query = question == target.npos ? std::string{} : target.substr(question + 1);
  return judge_helper_question({method, path, query, body}, policy);
}

bool allowed(const engine_request& request) {
  auto got = judge(request.method, request.target, request.body);
  return got && got->method == request.method && got->target == request.target
         && got->body == request.body && got->content_type == request.content_type;
}

bool refused(const std::string& method, const std::string& target, const std::string& body = {}) {
  return !judge(method, target, body);
}

/// Says which row of a table failed.
bool complain(const std::string& row) {
  CAF_MESSAGE("row: " << row);
  return false;
}

exapp_call call(std::string_view json) {
  return std::get<exapp_call>(parse_exapp_call(exapp_action::create, json));
}

engine_request document(std::string_view json) {
  auto wanted = call(json);
  return create_container_request(wanted, wanted.environment, "https://nc.example");
}

const std::string plain
    = R"({"name":"app","image_id":"img:1","environment_variables":["A=b","C=\"d\""]})";

std::string changed(std::string text, const std::string& from, const std::string& to) {
  auto at = text.find(from);
  CAF_REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

} // namespace

CAF_TEST(requests_of_the_engine_scripts_pass_as_they_are) {
  const std::string name = "nc_app_x.y-z_1";
  for (const auto& request :
       {inspect_container_request(name), start_container_request(name),
        stop_container_request(name), remove_container_request(name), inspect_volume_request(name),
        remove_volume_request(name), list_containers_request(), version_request(), ping_request(),
        logs_request(name, 10), logs_request(name, 0), inspect_image_request("ghcr.io/a/b:c"),
        remove_image_request("ghcr.io/a/b:c"),
        create_exec_request(name, {"cat", "/etc/os-release"}), *start_exec_request("abc1"),
        *inspect_exec_request("abc1")})
    CAF_CHECK(allowed(request) || complain(request.method + " " + request.target));
}

CAF_TEST(documents_that_harp_builds_pass) {
  for (
      const std::string& more :
      {std::string{}, std::string{R"(,"instance_id":"nc1","role_suffix":"web")"},
       std::string{R"(,"network_mode":"host")"},
       std::string{R"(,"network_mode":"own","restart_policy":"no")"},
       std::string{R"(,"compute_device":"cuda","resource_limits":{"memory":5,"nanoCPUs":7})"},
       std::string{
           R"(,"compute_device":"rocm","mount_points":[{"source":"/s","target":"/t","mode":"ro"},{"source":"/u","target":"/v"}])"}})
    CAF_CHECK(allowed(document(plain.substr(0, plain.size() - 1) + more + "}")) || complain(more));
  for (const char* one : {R"({"name":"app","image_id":"i"})",
                          R"({"name":"app","image_id":"i","instance_id":"nc_1"})"})
    CAF_CHECK(allowed(create_volume_request(call(one), "https://nc.example")));
}

CAF_TEST(any_other_document_is_refused) {
  auto good = document(plain);
  auto body = good.body;
  for (const auto& [from, to] : std::initializer_list<std::pair<std::string, std::string>>{
           {R"("HostConfig":{)", R"("HostConfig":{"Privileged":true,)"},
           {R"("HostConfig":{)", R"("HostConfig":{"PidMode":"host",)"},
           {R"("HostConfig":{)", R"("HostConfig":{"Binds":["/:/x"],)"},
           {R"({"Image")", R"({"Cmd":["sh"],"Image")"},
           {R"("Type":"volume")", R"("Type":"bind")"},
           {R"("Source":"nc_app_app_data")", R"("Source":"nc_app_other_data")"},
           {R"("NetworkMode":"bridge")", R"("NetworkMode":"container:x")"},
           {R"("Hostname":"app")", R"("Hostname":"other")"},
           {R"("Image":"img:1")", R"("Image":"img:1 ")"},
           {R"("Labels":{)", R"("Labels":{"x":"y",)"}})
    CAF_CHECK(refused(good.method, good.target, changed(body, from, to)) || complain(to));
  CAF_CHECK(refused("POST", "/containers/create?name=other", body));
  CAF_CHECK(refused("POST", "/containers/create?name=nc_app_other", body));
  CAF_CHECK(refused("POST", "/containers/create", body));
  CAF_CHECK(refused("PUT", good.target, body));
  for (const char* nonsense : {"", "{}", "[]", "null", "x", R"({"HostConfig":7})",
                               R"({"Hostname":"app","HostConfig":{"Mounts":[7]}})"})
    CAF_CHECK(refused("POST", good.target, nonsense));
  CAF_CHECK(refused("POST", "/volumes/create", R"({"Name":"nc_app_app_data"})"));
  auto volume = create_volume_request(call(plain), "o");
  CAF_CHECK(refused("POST", "/volumes/create",
                    changed(volume.body, R"({"Name")", R"({"DriverOpts":{"device":"/"},"Name")")));
}

CAF_TEST(the_mount_policy_holds_here_as_well) {
  auto with = [](const std::string& source) {
    return document(R"({"name":"app","image_id":"i","mount_points":[{"source":")" + source
                    + R"(","target":"/x"}]})");
  };
  bind_policy listed = *parse_bind_policy("/srv/media");
  listed.engine_socket = "/opt/engine.sock";
  auto judged = [&](const std::string& source) {
    auto request = with(source);
    return judge(request.method, request.target, request.body, listed).has_value();
  };
  CAF_CHECK(judged("/srv/media/films"));
  CAF_CHECK(!judged("/srv"));
  CAF_CHECK(!judged("/"));
  for (const char* source : {"/", "/var/run", "/run/docker.sock", "/proc"})
    CAF_CHECK(!allowed(with(source)));
}

CAF_TEST(only_certificates_are_uploaded_and_installed) {
  const std::string name = "nc_app_app";
  CAF_CHECK(allowed(
      upload_request(name, make_tar({{"certs/frp/ca.crt", "x"}, {"certs/frp/client.key", ""}}))));
  CAF_CHECK(allowed(upload_request(
      name, make_tar({{"usr/local/share/ca-certificates/custom_ca_cert_0.crt", "x"}}))));
  for (const char* file :
       {"etc/passwd", "certs/frp/a/b", "certs/frp/", "certs/frpx", "../x", "start.sh"})
    CAF_CHECK(refused("PUT", upload_request(name, {}).target, make_tar({{file, "x"}})));
  auto tar = make_tar({{"certs/frp/ca.crt", "x"}});
  CAF_CHECK(refused("PUT", "/containers/nc_app_app/archive?path=%2Fetc", tar));
  CAF_CHECK(refused("PUT", "/containers/other/archive?path=%2F", tar));
  CAF_CHECK(allowed(upload_request(name, {}))); // `harp engine check`
  CAF_CHECK(allowed(create_exec_request(name, {"true"})));
  for (size_t length = 37; length < tar.size(); length += 37)
    CAF_CHECK(refused("PUT", upload_request(name, {}).target, tar.substr(0, length)));
  auto link = tar;
  link[156] = '2';
  CAF_CHECK(refused("PUT", upload_request(name, {}).target, link));
  for (const auto& place : {certificate_place_of("debian"), certificate_place_of("fedora")}) {
    CAF_CHECK(allowed(create_exec_request(name, place.update)));
    CAF_CHECK(allowed(create_exec_request(name, {"mkdir", "-p", place.directory})));
  }
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"sh"}, {"cat", "/etc/shadow"}, {"mkdir", "-p", "/x"}, {}})
    CAF_CHECK(!allowed(create_exec_request(name, command)));
  auto privileged = create_exec_request(name, {"cat", "/etc/os-release"});
  CAF_CHECK(
      refused("POST", privileged.target, changed(privileged.body, "{", R"({"Privileged":true,)")));
}

CAF_TEST(passthrough_calls_are_built_anew) {
  auto pull = judge("POST", "/v1.41/images/create?fromImage=ghcr.io%2Fa%2Fb%3Ac&x=y");
  CAF_REQUIRE(pull);
  CAF_CHECK_EQUAL(pull->target.find("x=y"), std::string::npos);
  CAF_CHECK(judge("GET", "/v1.44/_ping"));
  CAF_CHECK(judge("GET", "/v1.47/version")->target == "/v1.47/version");
  CAF_CHECK(refused("GET", "/v1.47x/version"));
}

CAF_TEST(everything_else_is_refused) {
  for (const char* target :
       {"/containers/json", "/info", "/containers/other/json", "/volumes/other", "/exec/a%2Fb/json",
        "/containers/nc_app_a/top", "/containers/nc_app_a/archive?path=/", "/images/json",
        "/containers/nc_app_a%2F..%2Fx/json", "/build", "/secrets", "", "/"})
    CAF_CHECK(refused("GET", target) || complain(target));
  CAF_CHECK(refused("POST", "/containers/other/start"));
  CAF_CHECK(refused("POST", "/containers/nc_app_a/start?x=y"));
  CAF_CHECK(refused("POST", "/containers/nc_app_a/start", "{}"));
  CAF_CHECK(refused("POST", "/containers/nc_app_a/attach"));
  CAF_CHECK(refused("DELETE", "/containers/other?force=true"));
  CAF_CHECK(refused("DELETE", "/images/a%20b"));
  CAF_CHECK(refused("POST", "/build"));
}
