// Reading what AppAPI asks about containers: appapi-harp.md 4.5, K02.
#define CAF_SUITE exapp_call
#include "actors/exapp_call.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

std::optional<exapp_call> read(exapp_action action, std::string_view json) {
  auto out = parse_exapp_call(action, json);
  if (auto* error = std::get_if<std::string>(&out)) {
    CAF_MESSAGE(*error);
    return std::nullopt;
  }
  return std::get<exapp_call>(out);
}

bool refused(exapp_action action, std::string_view json) {
  return !read(action, json);
}

std::string create_with(const std::string& more) {
  return R"({"name":"app","image_id":"img:1",)" + more + "}";
}

bool create_refused(const std::string& more) {
  return refused(exapp_action::create, create_with(more));
}

} // namespace

CAF_TEST(names_are_built_as_harp_builds_them) {
  auto plain = read(exapp_action::exists, R"({"name":"test-deploy","instance_id":""})");
  CAF_REQUIRE(plain.has_value());
  CAF_CHECK_EQUAL(plain->container(), "nc_app_test-deploy");
  CAF_CHECK_EQUAL(plain->volume(), "nc_app_test-deploy_data");
  auto full
      = read(exapp_action::stop, R"({"name":"a","instance_id":"oc1","role_suffix":"worker"})");
  CAF_REQUIRE(full.has_value());
  CAF_CHECK_EQUAL(full->container(), "nc_app_oc1_a_worker");
  CAF_CHECK_EQUAL(full->volume(), "nc_app_oc1_a_data");
}

CAF_TEST(path_segments_name_actions) {
  CAF_CHECK(exapp_action_of("exists") == exapp_action::exists);
  CAF_CHECK(exapp_action_of("install_certificates") == exapp_action::install_certificates);
  for (std::string_view other :
       {"", "Exists", "exists/", "check_engine", "list_apps", "read_logs", "logs"})
    CAF_CHECK(!exapp_action_of(other));
}

CAF_TEST(payload_of_appapi_32_is_read_whole) {
  auto call
      = read(exapp_action::create,
             R"({"name":"app","instance_id":"","image_id":"ghcr.io/nextcloud/test-deploy:release",
    "network_mode":"host","environment_variables":["APP_ID=app","X=a=b"],"restart_policy":"always",
    "compute_device":"rocm","mount_points":[{"source":"/srv/a","target":"/a","mode":"ro"},{"source":"/srv/b","target":"/b"}],
    "resource_limits":{"memory":1073741824,"nanoCPUs":500000000},"start_container":true})");
  CAF_REQUIRE(call.has_value());
  CAF_CHECK_EQUAL(call->image, "ghcr.io/nextcloud/test-deploy:release");
  CAF_CHECK_EQUAL(call->network, "host");
  CAF_CHECK_EQUAL(call->environment, (std::vector<std::string>{"APP_ID=app", "X=a=b"}));
  CAF_CHECK_EQUAL(call->restart_policy, "always");
  CAF_CHECK(call->device == compute_device::rocm);
  CAF_REQUIRE_EQUAL(call->mounts.size(), 2u);
  CAF_CHECK(call->mounts[0].read_only);
  CAF_CHECK(!call->mounts[1].read_only);
  CAF_CHECK(call->memory_bytes == 1073741824);
  CAF_CHECK(call->nano_cpus == 500000000);
}

CAF_TEST(defaults_and_the_alias_of_the_image_hold) {
  auto call = read(
      exapp_action::create,
      R"({"name":"app","image":"img","mount_points":[],"environment_variables":{},"resource_limits":[]})");
  CAF_REQUIRE(call.has_value());
  CAF_CHECK_EQUAL(call->image, "img");
  CAF_CHECK_EQUAL(call->network, "bridge");
  CAF_CHECK_EQUAL(call->restart_policy, "unless-stopped");
  CAF_CHECK(call->device == compute_device::cpu);
  CAF_CHECK(call->mounts.empty() && call->environment.empty() && !call->memory_bytes);
}

CAF_TEST(wrong_shapes_are_refused) {
  for (std::string_view body :
       {"", "{", "[]", "null", "\"x\"", "{}", R"({"name":""})", R"({"name":1})",
        R"({"name":"a/b"})", R"({"name":"a b"})", R"({"name":"a","instance_id":"../x"})",
        R"({"name":"a","role_suffix":"x/y"})"})
    CAF_CHECK(refused(exapp_action::exists, body));
  CAF_CHECK(refused(exapp_action::exists, R"({"name":")" + std::string(129, 'a') + R"("})"));
  CAF_CHECK(refused(exapp_action::create, R"({"name":"app"})"));
  CAF_CHECK(refused(exapp_action::create, R"({"name":"app","image_id":"img?x=1"})"));
  CAF_CHECK(refused(exapp_action::image_remove, R"({"image_ref":""})"));
  CAF_CHECK(refused(exapp_action::remove, R"({"name":"a","remove_data":"yes"})"));
  CAF_CHECK(refused(exapp_action::install_certificates, R"({"name":"a","system_certs_bundle":5})"));
  CAF_CHECK(!refused(exapp_action::install_certificates,
                     R"({"name":"a","system_certs_bundle":null,"install_frp_certs":true})"));
  CAF_CHECK(!refused(exapp_action::image_remove, R"({"image_ref":"ghcr.io/a/b:1"})"));
}

CAF_TEST(k02_keys_given_twice_and_deep_nesting_are_refused) {
  CAF_CHECK(create_refused(R"("network_mode":"host","network_mode":"bridge")"));
  CAF_CHECK(create_refused(R"("resource_limits":{"memory":1,"memory":2})"));
  CAF_CHECK(refused(exapp_action::exists,
                    R"({"name":"a","x":)" + std::string(50, '[') + std::string(50, ']') + "}"));
  CAF_CHECK(!create_refused(
      R"("a":{"name":1},"b":{"name":2})")); // the same key in different objects is lawful
}

CAF_TEST(k02_networks_of_others_are_refused) {
  for (const char* network : {"container:nc_app_x", "container:", "ns:/proc/1/ns/net", "", "a b",
                              "a/b", "slirp4netns:port_handler=x"})
    CAF_CHECK(create_refused(std::string{R"("network_mode":")"} + network + "\""));
  for (const char* network : {"host", "bridge", "none", "nextcloud-aio", "my_net.1"})
    CAF_CHECK(!create_refused(std::string{R"("network_mode":")"} + network + "\""));
}

CAF_TEST(fields_with_wrong_values_are_refused) {
  for (const char* more :
       {R"("restart_policy":"sometimes")", R"("compute_device":"tpu")",
        R"("environment_variables":["NOVALUE"])", R"("environment_variables":["=x"])",
        R"("environment_variables":[1])", R"("environment_variables":["A=\u0000"])",
        R"("mount_points":["x"])", R"("mount_points":[{"source":"relative","target":"/a"}])",
        R"("mount_points":[{"source":"/a","target":"/b","mode":"rwx"}])",
        R"("mount_points":[{"source":"/a\n","target":"/b"}])", R"("resource_limits":{"memory":-1})",
        R"("resource_limits":{"memory":"1g"})", R"("resource_limits":{"nanoCPUs":1.5})"})
    CAF_CHECK(create_refused(more));
}

CAF_TEST(values_of_the_environment_are_in_no_error) {
  auto out = parse_exapp_call(exapp_action::create,
                              create_with(R"("environment_variables":["secret-without-a-name"])"));
  CAF_REQUIRE(std::holds_alternative<std::string>(out));
  CAF_CHECK(std::get<std::string>(out).find("secret") == std::string::npos);
}

CAF_TEST(every_cut_of_a_payload_is_refused_or_whole) {
  std::string whole = create_with(
      R"("environment_variables":["A=b"],"mount_points":[{"source":"/a","target":"/b"}])");
  for (size_t bytes = 0; bytes < whole.size(); ++bytes)
    CAF_CHECK(refused(exapp_action::create, std::string_view{whole}.substr(0, bytes)));
  CAF_CHECK(!refused(exapp_action::create, whole));
}

CAF_TEST(environment_values_are_found_by_name) {
  std::vector<std::string> entries{"A=1", "AB=2", "C="};
  CAF_CHECK(environment_value(entries, "A") == "1");
  CAF_CHECK(environment_value(entries, "AB") == "2");
  CAF_CHECK(environment_value(entries, "C") == "");
  CAF_CHECK(!environment_value(entries, "B"));
}
