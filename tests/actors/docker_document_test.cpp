// Golden documents for engines, mounts that are never allowed, owners: appapi-harp.md 4.5, X11, K02, K04.
#define CAF_SUITE docker_document
#include "actors/docker_document.hpp"
#include "actors/engine_certificates.hpp"
#include "actors/engine_owner.hpp"
#include "actors/engine_tar.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

exapp_call create_call(std::string_view json) {
  auto out = parse_exapp_call(exapp_action::create, json);
  CAF_REQUIRE(std::holds_alternative<exapp_call>(out));
  return std::get<exapp_call>(out);
}

std::string golden(std::string_view json) {
  auto call = create_call(json);
  return create_container_request(call, call.environment, "http://nc.example").body;
}

engine_identity identity() {
  engine_identity out;
  out.owner = "https://nc.example/nc";
  out.shared_key = "k3y of the test";
  out.credentials = std::make_shared<const tunnel_credentials>(out.shared_key);
  return out;
}

container_facts container(std::vector<std::string> environment,
                          std::map<std::string, std::string> labels = {}) {
  container_facts out;
  out.environment = std::move(environment);
  out.labels = std::move(labels);
  return out;
}

bool allowed(const std::string& source, const bind_policy& policy = {}) {
  return mount_fault({source, "/inside", false}, policy).empty();
}

} // namespace

CAF_TEST(x11_a_host_container_on_cpu) {
  CAF_CHECK_EQUAL(
      golden(
          R"({"name":"app","image_id":"img:1","network_mode":"host","environment_variables":["A=b"]})"),
      R"({"Image":"img:1","Hostname":"app","Env":["A=b"],"Labels":{"io.harp.owner":"http://nc.example","io.harp.app":"app"},)"
      R"("HostConfig":{"NetworkMode":"host","Mounts":[{"Type":"volume","Source":"nc_app_app_data","Target":"/nc_app_app_data","ReadOnly":false}],)"
      R"("RestartPolicy":{"Name":"unless-stopped"}}})");
}

CAF_TEST(x11_mounts_limits_and_devices) {
  CAF_CHECK_EQUAL(
      golden(
          R"({"name":"a","image_id":"i","restart_policy":"no","compute_device":"cuda","resource_limits":{"memory":5,"nanoCPUs":7},
              "mount_points":[{"source":"/s","target":"/t","mode":"ro"},{"source":"/u","target":"/v","mode":"rw"}]})"),
      R"({"Image":"i","Hostname":"a","Env":[],"Labels":{"io.harp.owner":"http://nc.example","io.harp.app":"a"},)"
      R"("HostConfig":{"NetworkMode":"bridge","Mounts":[{"Type":"volume","Source":"nc_app_a_data","Target":"/nc_app_a_data","ReadOnly":false},)"
      R"({"Type":"bind","Source":"/s","Target":"/t","ReadOnly":true},{"Type":"bind","Source":"/u","Target":"/v","ReadOnly":false}],)"
      R"("RestartPolicy":{"Name":"no"},"DeviceRequests":[{"Driver":"nvidia","Count":-1,"Capabilities":[["compute","utility"]]}],)"
      R"("Memory":5,"NanoCPUs":7}})");
  auto rocm = golden(R"({"name":"a","image_id":"i","compute_device":"rocm"})");
  CAF_CHECK(
      rocm.find(
          R"("Devices":[{"PathOnHost":"/dev/kfd","PathInContainer":"/dev/kfd","CgroupPermissions":"rwm"},)"
          R"({"PathOnHost":"/dev/dri","PathInContainer":"/dev/dri","CgroupPermissions":"rwm"}])")
      != std::string::npos);
}

CAF_TEST(x11_only_a_network_of_its_own_gets_an_alias) {
  CAF_CHECK(
      golden(R"({"name":"a","image_id":"i","network_mode":"net1"})")
          .ends_with(R"("NetworkingConfig":{"EndpointsConfig":{"net1":{"Aliases":["a"]}}}})"));
  for (const char* network : {"host", "bridge", "none"})
    CAF_CHECK(
        golden(std::string{R"({"name":"a","image_id":"i","network_mode":")"} + network + "\"}")
            .find("NetworkingConfig")
        == std::string::npos);
}

CAF_TEST(k02_fields_that_nobody_asked_harp_for_reach_no_document) {
  auto document = golden(
      R"({"name":"a","image_id":"i","privileged":true,"PRIVILEGED":true,"Privileged":true,"HostConfig":{"Privileged":true,
    "Binds":["/:/host"],"CapAdd":["ALL"]},"Binds":["/:/x"],"cap_add":["ALL"],"devices":["/dev/sda"],"user":"root","pid":"host","Cmd":["sh"]})");
  CAF_CHECK_EQUAL(document, golden(R"({"name":"a","image_id":"i"})"));
}

CAF_TEST(hostile_bytes_stay_inside_their_string) {
  auto document = golden(
      R"({"name":"a","image_id":"i","environment_variables":["A=\",\"Privileged\":true,\"x\":\""]})");
  CAF_CHECK(document.find(R"("Env":["A=\",\"Privileged\":true,\"x\":\""])") != std::string::npos);
  auto call = create_call(R"({"name":"a","image_id":"i"})");
  CAF_CHECK(create_container_request(call, {"A=\xff\xfe"}, "o").body.find("\xff")
            == std::string::npos);
}

CAF_TEST(k02_dangerous_mounts_are_never_allowed) {
  for (const char* source :
       {"/", "//", "/.", "/..", "/a/../b", "/a/..", "/proc", "/proc/1/root", "/proc/self/root/etc",
        "/run", "/var/run", "/var/run/", "/var/run/./docker.sock", "/run/docker.sock",
        "//run//docker.sock", "/run/podman", "/run/podman/podman.sock", "relative", ""})
    CAF_CHECK(!allowed(source));
  bind_policy own;
  own.engine_socket = "/srv/engine/docker.sock";
  CAF_CHECK(!allowed("/srv/engine", own));
  CAF_CHECK(!allowed("/srv", own));
  CAF_CHECK(allowed("/srv/engines", own));
  CAF_CHECK(!mount_fault({"/srv", "/", false}, {}).empty());
  CAF_CHECK(!mount_fault({"/srv", "/a/../..", false}, {}).empty());
  for (const char* source : {"/srv/media", "/runner", "/process", "/mnt/..data", "/var/lib/x"})
    CAF_CHECK(allowed(source));
}

CAF_TEST(the_operators_mount_policy_holds) {
  auto none = parse_bind_policy("none");
  auto some = parse_bind_policy("/srv/media,/mnt/");
  CAF_REQUIRE(none && some && parse_bind_policy("all"));
  CAF_CHECK(!allowed("/srv/media", *none));
  CAF_CHECK(allowed("/srv/media", *some));
  CAF_CHECK(allowed("/srv/media/films", *some));
  CAF_CHECK(allowed("/mnt/x", *some));
  CAF_CHECK(!allowed("/srv/mediaX", *some));
  CAF_CHECK(!allowed("/srv", *some));
  for (const char* bad : {"", "some", "srv", "/a,b", "/a/../b"})
    CAF_CHECK(!parse_bind_policy(bad));
}

CAF_TEST(targets_are_encoded) {
  auto image = remove_image_request("ghcr.io/a/b:1");
  auto removal = remove_container_request("nc_app_a");
  auto upload = upload_request("nc_app_a", "t");
  auto exec = create_exec_request("c", {"a", "b\""});
  CAF_CHECK_EQUAL(image.target, "/images/ghcr.io%2Fa%2Fb%3A1");
  CAF_CHECK_EQUAL(removal.target, "/containers/nc_app_a?force=true");
  CAF_CHECK_EQUAL(upload.target, "/containers/nc_app_a/archive?path=%2F");
  CAF_CHECK_EQUAL(exec.body, R"({"AttachStdout":true,"AttachStderr":true,"Cmd":["a","b\""]})");
  CAF_CHECK(start_exec_request("0123abcDEF").has_value());
  for (const char* id : {"", "a/b", "a?b", "..", "a b"})
    CAF_CHECK(!start_exec_request(id) && !inspect_exec_request(id));
}

// -- owners ----------------------------------------------------------------------------------------

CAF_TEST(k04_labels_decide_about_ownership) {
  auto us = identity();
  auto judged = [&us](const char* owner) {
    return judge_container(container({}, {{"io.harp.owner", owner}}), us, {}).what;
  };
  CAF_CHECK(judged("https://nc.example/nc") == ownership::ours);
  CAF_CHECK(judged("https://NC.example/nc/") == ownership::ours);
  CAF_CHECK(judged("https://nc.example/nc/index.php") == ownership::ours);
  CAF_CHECK(judged("https://other.example") == ownership::foreign);
  CAF_CHECK(judged("") == ownership::foreign);
  CAF_CHECK(judge_volume({"v", {{"io.harp.owner", "https://other.example"}}}, us).what
            == ownership::foreign);
  auto foreign = judge_volume({"v", {{"io.harp.owner", "https://other.example"}}}, us);
  CAF_CHECK_EQUAL(foreign.owner, "https://other.example");
  CAF_CHECK(judge_volume({"v", {}}, us).what == ownership::adopted);
}

CAF_TEST(unlabelled_containers_are_judged_by_their_environment) {
  auto us = identity();
  auto judged = [&us](std::vector<std::string> environment, std::string_view secret = {}) {
    return judge_container(container(std::move(environment)), us, secret).what;
  };
  auto credential = *us.credentials->make("app", 23000);
  CAF_CHECK(judged({}) == ownership::adopted);
  CAF_CHECK(judged({"HP_SHARED_KEY=k3y of the test", "NEXTCLOUD_URL=http://elsewhere"})
            == ownership::adopted);
  CAF_CHECK(judged({"HP_SHARED_KEY=" + credential}) == ownership::adopted);
  CAF_CHECK(judged({"HP_SHARED_KEY=another key", "NEXTCLOUD_URL=https://nc.example/nc"})
            == ownership::foreign);
  CAF_CHECK(judged({"NEXTCLOUD_URL=https://nc.example/nc/"}) == ownership::adopted);
  CAF_CHECK(judged({"NEXTCLOUD_URL=https://public.example", "APP_SECRET=s"}, "s")
            == ownership::adopted);
  CAF_CHECK(judged({"NEXTCLOUD_URL=https://public.example", "APP_SECRET=s"}, "t")
            == ownership::foreign);
  CAF_CHECK(judged({"NEXTCLOUD_URL=https://public.example", "APP_SECRET="}, "")
            == ownership::foreign);
}

CAF_TEST(fs2_the_shared_key_becomes_a_credential) {
  auto us = identity();
  auto call = create_call(
      R"({"name":"app","image_id":"i","environment_variables":["APP_ID=app","APP_PORT=23005","HP_SHARED_KEY=k3y of the test","OTHER=k3y of the test","X=y"]})");
  auto out = exapp_environment(call, us);
  CAF_REQUIRE(std::holds_alternative<std::vector<std::string>>(out));
  auto& entries = std::get<std::vector<std::string>>(out);
  CAF_REQUIRE_EQUAL(entries.size(), 5u);
  auto grant = us.credentials->verify(entries[2].substr(entries[2].find('=') + 1));
  CAF_REQUIRE(grant.has_value());
  CAF_CHECK_EQUAL(grant->app_id, "app");
  CAF_CHECK_EQUAL(grant->port, 23005);
  for (const auto& entry : entries)
    CAF_CHECK(entry.find(us.shared_key) == std::string::npos);
  CAF_CHECK_EQUAL(entries[4], "X=y");
  us.legacy_exapp_key = true;
  CAF_CHECK(std::get<std::vector<std::string>>(exapp_environment(call, us)) == call.environment);
}

CAF_TEST(without_a_port_no_credential_and_no_key) {
  auto us = identity();
  auto call = create_call(
      R"({"name":"app","image_id":"i","environment_variables":["HP_SHARED_KEY=k3y of the test"]})");
  auto out = exapp_environment(call, us);
  CAF_REQUIRE(std::holds_alternative<std::string>(out));
  CAF_CHECK(std::get<std::string>(out).find(us.shared_key) == std::string::npos);
}

CAF_TEST(findings_name_legacy_keys_and_mounts) {
  auto us = identity();
  auto facts
      = container({"HP_SHARED_KEY=k3y of the test"}, {{"io.harp.owner", "https://nc.example/nc"}});
  facts.binds = {"/srv"};
  auto findings = container_findings(facts, us);
  CAF_REQUIRE_EQUAL(findings.size(), 2u);
  CAF_CHECK(findings[0].find("shared key") != std::string::npos);
  CAF_CHECK(findings[1].find("/srv") != std::string::npos);
  CAF_CHECK(container_findings(container({}, {{"io.harp.owner", "x"}}), us).empty());
}

// -- certificates ----------------------------------------------------------------------------------

CAF_TEST(distributions_have_their_places) {
  auto debian = certificate_place_of("ID=debian");
  auto alpine = certificate_place_of("NAME=\"Alpine Linux\"");
  auto alma = certificate_place_of("ID=\"almalinux\"");
  CAF_CHECK_EQUAL(debian.directory, "/usr/local/share/ca-certificates");
  CAF_CHECK_EQUAL(alpine.update, std::vector<std::string>{"update-ca-certificates"});
  CAF_CHECK_EQUAL(alma.directory, "/etc/pki/ca-trust/source/anchors");
  CAF_CHECK_EQUAL(alma.update, (std::vector<std::string>{"update-ca-trust", "extract"}));
  CAF_CHECK(certificate_place_of("ID=arch").directory.empty());
  CAF_CHECK(certificate_place_of("").directory.empty());
}

CAF_TEST(bundles_are_split_into_certificates) {
  std::string one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
  auto parts = split_bundle(
      "# a comment\n" + one + "\nnoise\n" + one
      + "\n-----BEGIN CERTIFICATE-----\n<script>\n-----END CERTIFICATE-----\n-----BEGIN CERT");
  CAF_REQUIRE_EQUAL(parts.size(), 2u);
  CAF_CHECK_EQUAL(parts[0], one + "\n");
  CAF_CHECK(split_bundle("").empty());
  CAF_CHECK(split_bundle("-----BEGIN CERTIFICATE-----").empty());
}

CAF_TEST(tar_archives_are_as_tar_reads_them) {
  auto tar = make_tar({{"certs/frp/ca.crt", "hello"}, {"b", std::string_view{}}});
  CAF_CHECK_EQUAL(tar.size(), 512u * 5); // two heads, one block, two of zeros
  CAF_CHECK_EQUAL(tar.substr(0, 16), "certs/frp/ca.crt");
  CAF_CHECK_EQUAL(tar.substr(257, 5), "ustar");
  CAF_CHECK_EQUAL(tar.substr(512, 5), "hello");
  CAF_CHECK_EQUAL(tar.substr(124, 11), "00000000005");
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i)
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(tar[i]);
  CAF_CHECK_EQUAL(static_cast<unsigned>(std::stoul(tar.substr(148, 6), nullptr, 8)), sum);
  for (const std::string& name : {std::string{}, std::string{"/a"}, std::string(101, 'a')})
    CAF_CHECK(make_tar({{name, "x"}}).empty());
}
