// AppAPI's way through a Kubernetes backend against an API stand-in that knows Kubernetes' schema and Harp's rights
// manifest: appapi-harp.md 4.6, X37, K02, K04.
#define CAF_SUITE e2e_kubernetes
#include "tests/e2e/kubernetes_site.hpp"

using namespace harp::e2e;

namespace {

using nlohmann::json;

} // namespace

CAF_TEST(x37_a_whole_life_keeps_the_resolved_upstream) {
  if (!has_schema())
    return;
  kubernetes_site site;
  auto info = parsed(site.harp->control("GET", "/info"));
  CAF_CHECK_EQUAL(info["kubernetes"].dump(),
                  R"({"api_server":")" + site.api.url() + R"(","enabled":true,"reachable":true})");
  CAF_CHECK_EQUAL(site.helper("exists").body, R"({"exists":false})");
  auto made = site.create();
  CAF_CHECK_EQUAL(made.status, 201);
  CAF_CHECK_EQUAL(made.body, R"({"name":"nc-app-app"})");
  CAF_CHECK_EQUAL(site.create().status, 409);
  CAF_CHECK_EQUAL(site.helper("exists").body, R"({"exists":true})");
  CAF_CHECK_EQUAL(
      site.helper("install_certificates", R"("system_certs_bundle":null,"install_frp_certs":false)")
          .status,
      204);
  site.start();
  auto exposed = site.expose(R"("expose_type":"clusterip")");
  CAF_MESSAGE(exposed.body);
  CAF_CHECK_EQUAL(exposed.status, 200);
  CAF_CHECK_EQUAL(parsed(exposed)["host"].get<std::string>(), "127.0.0.1");
  CAF_CHECK_EQUAL(site.public_status(), 200);
  CAF_CHECK_EQUAL(site.push(), 204); // AppAPI pushes what Nextcloud knows: another host
  CAF_CHECK_EQUAL(site.public_status(), 200);
  // disable, enable
  CAF_CHECK_EQUAL(site.helper("stop").status, 204);
  CAF_CHECK(site.api.object("deployments", "nc-app-app")["spec"]["replicas"] == 0);
  auto withdrawn = site.harp->control("DELETE", "/exapp_storage/app").status;
  CAF_CHECK(withdrawn == 204 || withdrawn == 404);
  CAF_CHECK_EQUAL(site.public_status(), 404);
  site.start();
  CAF_CHECK_EQUAL(site.push(), 204);
  CAF_CHECK_EQUAL(site.public_status(), 200);
  // a node that starts anew finds the place again
  CAF_REQUIRE(site.harp->restart());
  CAF_CHECK_EQUAL(site.public_status(), 200);
  // update keeps data, removal with data does not
  CAF_CHECK_EQUAL(site.helper("remove", R"("remove_data":false)").status, 204);
  CAF_CHECK(!site.api.has("deployments", "nc-app-app"));
  CAF_CHECK(!site.api.has("services", "nc-app-app"));
  CAF_CHECK(site.api.has("persistentvolumeclaims", "nc-app-app-data"));
  CAF_CHECK_EQUAL(site.create().status, 201);
  CAF_CHECK_EQUAL(site.helper("remove", R"("remove_data":true)").status, 204);
  CAF_CHECK(!site.api.has("persistentvolumeclaims", "nc-app-app-data"));
  CAF_CHECK_EQUAL(site.helper("remove", R"("remove_data":true)").status, 204);
  site.check_manners();
}

CAF_TEST(x37_a_new_token_counts_from_the_next_call_on) {
  if (!has_schema())
    return;
  kubernetes_site site;
  CAF_CHECK_EQUAL(site.helper("exists").status, 200);
  site.api.take_token("second-token-of-the-test");
  auto old = site.helper("exists");
  CAF_CHECK_EQUAL(old.status, 503);
  CAF_CHECK(old.body.find("401") != std::string::npos);
  write_file(site.dir / "token", "second-token-of-the-test\n");
  CAF_CHECK_EQUAL(site.helper("exists").status, 200);
  write_file(site.dir / "token", "");
  auto none = site.helper("exists");
  CAF_CHECK_EQUAL(none.status, 503);
  CAF_CHECK(none.body.find("no token") != std::string::npos);
  CAF_CHECK(parsed(site.harp->control("GET", "/info"))["kubernetes"]["reachable"] == false);
}

CAF_TEST(documents_hold_what_was_configured_and_no_key) {
  if (!has_schema())
    return;
  kubernetes_site site;
  CAF_CHECK_EQUAL(site.create().status, 201);
  auto claim = site.api.object("persistentvolumeclaims", "nc-app-app-data")["spec"];
  CAF_CHECK(claim["storageClassName"] == "fast");
  CAF_CHECK(claim["resources"]["requests"]["storage"] == "1Gi");
  auto pod = site.api.object("deployments", "nc-app-app")["spec"]["template"]["spec"];
  CAF_CHECK_EQUAL(pod["hostAliases"].dump(), R"([{"hostnames":["nc.example"],"ip":"192.0.2.1"}])");
  CAF_CHECK(pod["automountServiceAccountToken"] == false);
  CAF_CHECK_EQUAL(pod["containers"][0]["resources"]["limits"].dump(),
                  R"({"cpu":"500m","memory":"1024Mi"})");
  CAF_CHECK(pod.dump().find(site.harp->key()) == std::string::npos);
  CAF_CHECK(pod.dump().find("hx1.") != std::string::npos); // a credential for its own tunnel
  site.check_manners();
}

CAF_TEST(an_app_is_exposed_in_every_way) {
  if (!has_schema())
    return;
  kubernetes_site site;
  auto port = std::to_string(site.pod.port());
  CAF_CHECK_EQUAL(site.create().status, 201);
  auto by_hand = site.expose(R"("expose_type":"manual","upstream_host":"127.0.0.1")");
  CAF_CHECK_EQUAL(by_hand.status, 200);
  CAF_CHECK_EQUAL(site.public_status(), 200);
  CAF_CHECK(!site.api.has("services", "nc-app-app"));
  CAF_CHECK_EQUAL(
      site.api
          .as_operator(
              "POST", "/api/v1/nodes",
              R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"conditions":[{"type":"Ready","status":"True"}],
                          "addresses":[{"type":"InternalIP","address":"127.0.0.9"}]}})")
          .status,
      201);
  auto node = site.expose(
      R"("expose_type":"nodeport","node_port":30123,"node_name":"n1","service_labels":{"team":"x"})");
  CAF_CHECK_EQUAL(parsed(node)["host"].dump() + parsed(node)["port"].dump(), R"("127.0.0.9"30123)");
  CAF_CHECK_EQUAL(
      site.api.as_operator("DELETE", kubernetes_api::path("services", "nc-app-app")).status, 200);
  auto late = site.expose(R"("expose_type":"loadbalancer","wait_timeout_seconds":0)");
  CAF_CHECK_EQUAL(late.status, 504); // nobody gives addresses here
  CAF_CHECK_EQUAL(
      site.api
          .as_operator("PATCH", kubernetes_api::path("services", "nc-app-app"),
                       R"({"status":{"loadBalancer":{"ingress":[{"ip":"127.0.0.1"}]}}})")
          .status,
      200);
  auto balanced = site.expose(R"("expose_type":"loadbalancer")");
  CAF_CHECK_EQUAL(parsed(balanced)["host"].dump() + parsed(balanced)["port"].dump(),
                  R"("127.0.0.1")" + port);
  CAF_CHECK_EQUAL(site.public_status(), 200);
  site.nextcloud.remove("app");
  CAF_CHECK_EQUAL(site.expose(R"("expose_type":"loadbalancer")").status,
                  404); // Nextcloud does not know it
  site.check_manners();
}

CAF_TEST(k04_what_another_nextcloud_owns_is_not_touched) {
  if (!has_schema())
    return;
  kubernetes_site theirs;
  CAF_CHECK_EQUAL(theirs.create().status, 201);
  kubernetes_site ours{{{"HP_K8S_API_SERVER", theirs.api.url()},
                        {"HP_K8S_CA_FILE", theirs.api.ca()},
                        {"HP_K8S_BEARER_TOKEN_FILE", theirs.dir / "token"}}};
  for (const char* action : {"start", "stop", "wait_for_start", "create"}) {
    auto answer = std::string{action} == "create" ? ours.create() : ours.helper(action);
    CAF_CHECK_EQUAL(answer.status, 409);
    CAF_CHECK(answer.body.find(theirs.nextcloud.url()) != std::string::npos);
  }
  CAF_CHECK_EQUAL(ours.helper("remove", R"("remove_data":true)").status, 409);
  CAF_CHECK_EQUAL(ours.expose(R"("expose_type":"clusterip")").status, 409);
  CAF_CHECK(theirs.api.has("deployments", "nc-app-app"));
  CAF_CHECK(theirs.api.has("persistentvolumeclaims", "nc-app-app-data"));
  CAF_CHECK_EQUAL(theirs.helper("start").status, 204);
}

CAF_TEST(k02_calls_of_bad_form_reach_nothing) {
  if (!has_schema())
    return;
  kubernetes_site site;
  CAF_CHECK_EQUAL(site.helper("create", R"("image":"i","image":"j")").status, 400);
  CAF_CHECK_EQUAL(site.helper("create", R"("image":"not an image")").status, 400);
  CAF_CHECK_EQUAL(site.expose(R"("service_labels":{"app":"x"})").status, 400);
  CAF_CHECK_EQUAL(site.expose(R"("service_annotations":{"io.harp.owner":"x"})").status, 400);
  CAF_CHECK_EQUAL(site.harp->control("POST", "/k8s/exapp/exists", R"({"name":"../x"})").status,
                  400);
  CAF_CHECK_EQUAL(site.harp->control("GET", "/k8s/exapp/exists").status, 405);
  CAF_CHECK_EQUAL(site.harp->control("POST", "/k8s/exapp/image_remove", "{}").status, 404);
  CAF_CHECK_EQUAL(
      site.harp->control("POST", "/docker/exapp/expose", "{}", {{"docker-engine-port", "24000"}})
          .status,
      404);
  CAF_CHECK_EQUAL(request(site.harp->exapps(), "POST", "/exapps/app_api/k8s/exapp/exists", {},
                          R"({"name":"app"})")
                      .status,
                  401);
  CAF_CHECK_EQUAL(site.api.log().dump(), "[]");
}

CAF_TEST(only_an_api_that_the_ca_vouches_for_gets_the_token) {
  if (!has_schema())
    return;
  temp_dir dir;
  make_certificate(dir, "other");
  kubernetes_site strict{{{"HP_K8S_CA_FILE", dir / "other.pem"}}};
  CAF_CHECK_EQUAL(strict.helper("exists").status, 503);
  CAF_CHECK_EQUAL(strict.api.log().dump(), "[]");
  write_file(dir / "other.pem",
             read_file(strict.api.ca())); // the cluster's CA was changed: no restart
  CAF_CHECK(until(10s, [&] { return strict.helper("exists").status == 200; }));
  kubernetes_site careless{{{"HP_K8S_CA_FILE", dir / "none.pem"}, {"HP_K8S_VERIFY_SSL", "false"}}};
  CAF_CHECK_EQUAL(careless.helper("exists").status, 200);
}

CAF_TEST(commands_show_the_cluster) {
  if (!has_schema())
    return;
  kubernetes_site site;
  CAF_CHECK_EQUAL(site.create().status, 201);
  auto listed = site.harp->command({"engine", "ls", "--json"});
  CAF_CHECK(listed.output.find(site.api.url()) != std::string::npos);
  auto checked = site.harp->command({"engine", "check", "kubernetes", "--json"});
  CAF_MESSAGE(checked.output);
  CAF_CHECK_EQUAL(checked.status, 0);
  auto facts = json::parse(checked.output, nullptr, false);
  CAF_CHECK(facts["product"] == "Kubernetes");
  for (const auto& [right, word] : facts["rights"].items())
    CAF_CHECK(word == "granted" || word == "not granted, as it should be");
  auto apps = json::parse(site.harp->command({"apps", "ls", "--json"}).output, nullptr, false);
  CAF_REQUIRE(apps["apps"].is_array());
  CAF_CHECK(apps["apps"][0]["container"] == "nc-app-app");
  CAF_CHECK(apps["apps"][0]["owner"] == "this Nextcloud");
  CAF_CHECK_EQUAL(site.harp->command({"apps", "start", "app"}).status, 0);
  CAF_CHECK(site.api.object("deployments", "nc-app-app")["spec"]["replicas"] == 1);
  CAF_CHECK_EQUAL(site.harp->command({"apps", "logs", "app"}).status, 1);
}

CAF_TEST(without_kubernetes_its_calls_are_refused) {
  site plain;
  CAF_REQUIRE(plain.started());
  auto answer = plain.harp.control("POST", "/k8s/exapp/exists", R"({"name":"app"})");
  CAF_CHECK_EQUAL(answer.status, 503);
  CAF_CHECK(parsed(plain.harp.control("GET", "/info"))["kubernetes"].dump()
            == R"({"enabled":false})");
  CAF_CHECK_EQUAL(plain.harp.command({"engine", "check", "kubernetes"}).status, 1);
}
