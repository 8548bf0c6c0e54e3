// The Docker allow-list: what is rebuilt, what is refused (appapi-harp.md 4.2, FS16; X08, K01).
#define CAF_SUITE docker_call
#include "actors/docker_call.hpp"
#include "actors/port_claims.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

struct allowed_row {
  std::string_view method, path, query, target;
};

struct refused_row {
  std::string_view method, path, query = "";
};

void check_allowed(std::initializer_list<allowed_row> rows) {
  for (const auto& row : rows) {
    auto call = rebuild_docker_call(row.method, row.path, row.query);
    if (!call)
      CAF_FAIL("refused: " << row.method << " " << row.path << "?" << row.query);
    CAF_CHECK_EQUAL(call->method, row.method);
    CAF_CHECK_EQUAL(call->target, row.target);
  }
}

void check_refused(std::initializer_list<refused_row> rows) {
  for (const auto& row : rows) {
    if (auto call = rebuild_docker_call(row.method, row.path, row.query))
      CAF_ERROR("allowed: " << row.method << " " << row.path << "?" << row.query << " as "
                            << call->target);
    CAF_CHECK(!rebuild_docker_call(row.method, row.path, row.query));
  }
}

const std::string hex64(64, 'a');

} // namespace

CAF_TEST(rebuilds_the_calls_of_appapi) {
  check_allowed({
      {"GET", "/_ping", "", "/_ping"},
      {"HEAD", "/_ping", "", "/_ping"},
      {"GET", "/v1.41/_ping", "", "/v1.41/_ping"},
      {"GET", "/v1.44/_ping", "a=b", "/v1.44/_ping"},
      {"GET", "/v1.41/containers/nc_app_test-deploy/json", "",
       "/v1.41/containers/nc_app_test-deploy/json"},
      {"GET", "/containers/nc_app_a.B_9-c/json", "size=true", "/containers/nc_app_a.B_9-c/json"},
      {"GET", "/v1.41/containers/nc_app_test-deploy/logs", "stdout=true&stderr=true&tail=all",
       "/v1.41/containers/nc_app_test-deploy/logs?stdout=true&stderr=true&tail=all"},
      {"GET", "/v1.41/containers/nc_app_x/logs", "tail=100&stdout=1",
       "/v1.41/containers/nc_app_x/logs?stdout=1&tail=100"},
      {"GET", "/containers/nc_app_x/logs", "", "/containers/nc_app_x/logs"},
      {"POST", "/v1.41/images/create", "fromImage=ghcr.io%2Fnextcloud%2Ftest-deploy%3Alatest",
       "/v1.41/images/create?fromImage=ghcr.io%2Fnextcloud%2Ftest-deploy%3Alatest"},
      {"POST", "/images/create", "fromImage=ghcr.io/nextcloud/x:1",
       "/images/create?fromImage=ghcr.io%2Fnextcloud%2Fx%3A1"},
      {"GET", "/images/local/x:1/json", "", "/images/local/x:1/json"},
      {"GET", "/v1.41/images/ghcr.io%2Fnextcloud%2Fx%3A1/json", "",
       "/v1.41/images/ghcr.io/nextcloud/x:1/json"},
      {"GET", "/%5fping", "", "/_ping"},
      {"GET", "/v1/_ping", "", "/v1/_ping"},
  });
}

CAF_TEST(keeps_the_head_method) {
  auto call = rebuild_docker_call("HEAD", "/containers/nc_app_x/json", "");
  CAF_REQUIRE(call.has_value());
  CAF_CHECK_EQUAL(call->method, "HEAD");
}

CAF_TEST(tells_which_answers_stream) {
  CAF_CHECK(rebuild_docker_call("POST", "/images/create", "fromImage=x")->streams);
  CAF_CHECK(rebuild_docker_call("GET", "/containers/nc_app_x/logs", "")->streams);
  CAF_CHECK(!rebuild_docker_call("GET", "/_ping", "")->streams);
}

CAF_TEST(drops_unknown_query_keys) {
  check_allowed({
      {"GET", "/_ping", "x=1&y=2", "/_ping"},
      {"POST", "/images/create", "fromSrc=http://evil&fromImage=x&repo=y&platform=z",
       "/images/create?fromImage=x"},
      {"GET", "/containers/nc_app_x/logs", "follow=1&stdout=1&since=5&Stdout=0",
       "/containers/nc_app_x/logs?stdout=1"},
      {"POST", "/images/create", "&&fromImage=x&", "/images/create?fromImage=x"},
      {"POST", "/images/create", "%66romImage=x", "/images/create?fromImage=x"},
  });
}

CAF_TEST(refuses_other_paths) {
  check_refused({
      {"GET", ""},
      {"GET", "/"},
      {"GET", "_ping"},
      {"GET", "/_ping/x"},
      {"GET", "/_ping/"},
      {"GET", "/x/_ping"},
      {"GET", "/_pingx"},
      {"GET", "//_ping"},
      {"GET", "/_PING"},
      {"GET", "/info"},
      {"GET", "/version"},
      {"GET", "/containers/json"},
      {"GET", "/v1.41/containers/json"},
      {"GET", "/images/json"},
      {"GET", "/images//json"},
      {"GET", "/exec/x/json"},
      {"GET", "/networks"},
      {"GET", "/volumes/nc_app_x_data"},
      {"GET", "/containers/nc_app_x/json/x"},
      {"GET", "/x/containers/nc_app_x/json"},
      {"GET", "/containers/nc_app_x/export"},
      {"GET", "/containers/nc_app_x/archive"},
      {"GET", "/containers/nc_app_x/attach/ws"},
      {"GET", "/containers/nc_app_x/logs/json"},
      {"GET", "/images/create"},
  });
}

CAF_TEST(refuses_other_methods) {
  check_refused({
      {"DELETE", "/_ping"},
      {"DELETE", "/containers/nc_app_x"},
      {"DELETE", "/containers/nc_app_x/json"},
      {"POST", "/_ping"},
      {"POST", "/containers/nc_app_x/json"},
      {"POST", "/containers/create"},
      {"POST", "/containers/nc_app_x/start"},
      {"POST", "/containers/nc_app_x/exec"},
      {"POST", "/build"},
      {"PUT", "/containers/nc_app_x/archive"},
      {"PUT", "/images/create", "fromImage=x"},
      {"GET", "/images/create", "fromImage=x"},
      {"get", "/_ping"},
      {"Get", "/_ping"},
      {"", "/_ping"},
      {"OPTIONS", "/_ping"},
      {"PATCH", "/_ping"},
  });
}

CAF_TEST(refuses_other_containers) {
  check_refused({
      {"GET", "/containers/x/json"},
      {"GET", "/containers/nc_app_/json"},
      {"GET", "/containers/NC_APP_x/json"},
      {"GET", "/containers/xnc_app_x/json"},
      {"GET", "/containers/nc_app_x%2fy/json"},
      {"GET", "/containers/nc_app_x%2f..%2fy/json"},
      {"GET", "/containers/nc_app_x/../y/json"},
      {"GET", "/containers/nc_app_x%20/json"},
      {"GET", "/containers/nc_app_x%0a/json"},
      {"GET", "/containers/nc_app_x%3fa/json"},
      {"GET", "/containers/nc_app_x;a/json"},
      {"GET", "/containers/nc_app_%c3%a9/json"},
      {"GET", "/containers/nc_app_x%00/json"},
      {"GET", "/containers/nc_app_x%252f/json"},
  });
  std::string longest(container_name_bytes_max - 7, 'a');
  CAF_CHECK(rebuild_docker_call("GET", "/containers/nc_app_" + longest + "/json", "").has_value());
  CAF_CHECK(!rebuild_docker_call("GET", "/containers/nc_app_a" + longest + "/json", ""));
}

CAF_TEST(refuses_odd_versions) {
  check_refused({
      {"GET", "/v/_ping"},
      {"GET", "/v./_ping"},
      {"GET", "/v1./_ping"},
      {"GET", "/v1..4/_ping"},
      {"GET", "/v1.4x/_ping"},
      {"GET", "/V1.41/_ping"},
      {"GET", "/v1.41"},
      {"GET", "/v1.41/"},
      {"GET", "/v1.41/v1.41/_ping"},
      {"GET", "/v1.41_ping"},
      {"GET", "/v1.41111111111111/_ping"},
      {"GET", "/v1%2f../_ping"},
  });
}

CAF_TEST(refuses_odd_queries) {
  check_refused({
      {"POST", "/images/create"},
      {"POST", "/images/create", "fromImage="},
      {"POST", "/images/create", "fromImage"},
      {"POST", "/images/create", "fromimage=x"},
      {"POST", "/images/create", "fromImage=x&fromImage=y"},
      {"POST", "/images/create", "fromImage=x&%66romImage=y"},
      {"POST", "/images/create", "fromImage=x%zz"},
      {"POST", "/images/create", "fromImage=x&a=%"},
      {"POST", "/images/create", "fromImage=x%26fromSrc%3dy"},
      {"POST", "/images/create", "fromImage=x%0d%0ay"},
      {"POST", "/images/create", "fromImage=a+b"},
      {"POST", "/images/create", "fromImage=http://x/y"},
      {"POST", "/images/create", "fromImage=../x"},
      {"POST", "/images/create", "fromImage=a/../x"},
      {"GET", "/containers/nc_app_x/logs", "tail=-1"},
      {"GET", "/containers/nc_app_x/logs", "tail=x"},
      {"GET", "/containers/nc_app_x/logs", "tail=1234567890"},
      {"GET", "/containers/nc_app_x/logs", "stdout=yes"},
      {"GET", "/containers/nc_app_x/logs", "stdout=1&stdout=0"},
      {"GET", "/containers/nc_app_x/logs", "stderr"},
  });
}

CAF_TEST(bounds_the_target) {
  CAF_CHECK(!rebuild_docker_call("GET", "/_ping", std::string(docker_target_bytes_max, 'a')));
  std::string many;
  for (int i = 0; i < 100; ++i)
    many += "a=b&";
  CAF_CHECK(!rebuild_docker_call("GET", "/_ping", many));
}

CAF_TEST(knows_image_references) {
  for (std::string text :
       {"x", "nginx", "nginx:latest", "nginx:1.2-alpine_3", "library/nginx",
        "ghcr.io/nextcloud/test-deploy:latest", "localhost:5000/a/b:1", "registry.example:443/a",
        "a__b/c--d", "sha256:0123abcd", "192.168.1.1:5000/x"})
    CAF_CHECK(is_image_reference(text));
  CAF_CHECK(is_image_reference("nginx@sha256:" + hex64));
  CAF_CHECK(is_image_reference("ghcr.io/n/x:1@sha256:" + hex64));
}

CAF_TEST(refuses_what_is_no_image_reference) {
  for (std::string text :
       {"",       ":",      "/",           "/x",           "x/",          "x//y",     "x:",
        ":x",     "x:y:z",  "x@",          "x@sha256:",    "x@sha256:zz", "@sha256:", ".",
        "..",     "../x",   "x/..",        "x/../y",       "x..y",        ".x",       "x.",
        "-x",     "_x",     "a:b/c:d",     "a:99999999/c", "h:p/x",       "a b",      "a%b",
        "a?b",    "a#b",    "a&b",         "a\\b",         "a\nb",        "http://x", "é",
        "x:-tag", "x:.tag", "[::1]:5000/x"}) {
    if (is_image_reference(text))
      CAF_ERROR("taken for an image: " << text);
    CAF_CHECK(!is_image_reference(text));
  }
  CAF_CHECK(!is_image_reference("x@sha256:" + hex64 + "@sha256:" + hex64));
  CAF_CHECK(!is_image_reference("x:" + std::string(129, 't')));
  CAF_CHECK(!is_image_reference(std::string(image_reference_bytes_max + 1, 'x')));
}

CAF_TEST(reads_engine_ports) {
  CAF_CHECK_EQUAL(parse_engine_port("24000").value_or(0), 24000u);
  CAF_CHECK_EQUAL(parse_engine_port("65535").value_or(0), 65535u);
  for (std::string_view text :
       {"", "0", "65536", "-1", "+1", " 1", "1 ", "0x10", "1.0", "x", "24000,24001"})
    CAF_CHECK(!parse_engine_port(text));
  CAF_CHECK(is_engine_port(24000) && is_engine_port(24099));
  CAF_CHECK(!is_engine_port(23999) && !is_engine_port(24100) && !is_engine_port(23000));
}

CAF_TEST(encodes_everything_but_unreserved) {
  CAF_CHECK_EQUAL(percent_encode("aZ09-_.~"), "aZ09-_.~");
  CAF_CHECK_EQUAL(percent_encode("a/b:c@d e\xff"), "a%2Fb%3Ac%40d%20e%FF");
}
