// Conversations with a Kubernetes API on virtual time: every call of appapi-harp.md 4.6 request by request, K04.
#define CAF_SUITE engine_kubernetes
#include "tests/actors/engines_world.hpp"

using namespace harp;
using namespace std::chrono_literals;

namespace {

const std::string apps = "/apis/apps/v1/namespaces/nextcloud-exapps/deployments";
const std::string core = "/api/v1/namespaces/nextcloud-exapps/";
const std::string marks = R"("annotations":{"io.harp.owner":"http://nc","io.harp.app":"app"})";
const std::string deployment = R"({"metadata":{"name":"nc-app-app",)" + marks + "}}";
const std::string foreign
    = R"({"metadata":{"name":"x","annotations":{"io.harp.owner":"http://other"}}})";
const std::string claim = R"({"metadata":{"name":"nc-app-app-data",)" + marks + "}}";

std::string pods(const std::string& status) {
  return R"({"items":[{"status":)" + status + "}]}";
}

std::string service(const std::string& spec, const std::string& more = {},
                    const std::string& status = "{}") {
  return R"({"metadata":{"name":"nc-app-app","labels":{"app.kubernetes.io/managed-by":"harp"},"annotations":{"io.harp.owner":"http://nc")"
         + more + R"(}},"spec":)" + spec + R"(,"status":)" + status + "}";
}

struct fixture : harp::testing::engines_world {
  pending ask(exapp_action action, std::string_view json = R"({"name":"app"})") {
    return order(action, json, kubernetes_engine);
  }
  pending expose(const std::string& more) {
    auto asked = ask(exapp_action::expose, R"({"name":"app","port":23000,)" + more + "}");
    reply(200, deployment);
    return asked;
  }
  /// `harp`'s own question about where the app is.
  pending resolve() {
    exapp_call call;
    call.action = exapp_action::resolve;
    call.name = "app";
    engine_order out{kubernetes_engine, std::make_shared<const exapp_call>(call), nullptr, nullptr};
    auto asked = self->request(tested, caf::infinite, carry_atom_v, out);
    drain();
    return asked;
  }
  void check_place(pending& asked, const std::string& host, uint16_t at) {
    auto got = result(asked);
    CAF_CHECK_EQUAL(got.status, 200);
    CAF_REQUIRE(got.place);
    CAF_CHECK_EQUAL(got.place->host, host);
    CAF_CHECK_EQUAL(got.place->port, at);
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(engine_kubernetes_tests, fixture)

CAF_TEST(exists_looks_for_the_deployment) {
  auto there = ask(exapp_action::exists);
  reply(200, deployment);
  check(there, 200, R"({"exists":true})");
  auto missing = ask(exapp_action::exists);
  reply(404);
  check(missing, 200, R"({"exists":false})");
  auto refused = ask(exapp_action::exists);
  reply(403, R"({"kind":"Status","message":"deployments.apps is forbidden"})");
  check(refused, 503,
        "the container engine answered 403 while looking for the Deployment: deployments.apps is "
        "forbidden");
  check_lines({"GET " + apps + "/nc-app-app", "GET " + apps + "/nc-app-app",
               "GET " + apps + "/nc-app-app"});
}

CAF_TEST(create_makes_claim_and_deployment) {
  auto asked = ask(exapp_action::create, R"({"name":"app","image":"img:1"})");
  CAF_CHECK(engine.calls.front().request->body.find("PersistentVolumeClaim") != std::string::npos);
  reply(201, claim);
  CAF_CHECK(engine.calls.front().request->body.find(R"("replicas":0)") != std::string::npos);
  reply(201, deployment);
  check(asked, 201, R"({"name":"nc-app-app"})");
  check_lines({"POST " + core + "persistentvolumeclaims", "POST " + apps});
}

CAF_TEST(create_uses_its_claim_again) {
  auto asked = ask(exapp_action::create, R"({"name":"app","image":"img:1"})");
  reply(409);
  reply(200, claim);
  reply(201, deployment);
  check(asked, 201);
}

CAF_TEST(create_goes_on_when_a_role_of_harp_cannot_read_claims) {
  auto asked = ask(exapp_action::create, R"({"name":"app","image":"img:1"})");
  reply(409);
  reply(403);
  reply(201, deployment);
  check(asked, 201);
}

CAF_TEST(k04_a_claim_of_another_nextcloud_is_not_used) {
  auto asked = ask(exapp_action::create, R"({"name":"app","image":"img:1"})");
  reply(409);
  reply(200, foreign);
  check(asked, 409, "409 Conflict: the volume claim nc-app-app-data belongs to http://other");
  CAF_CHECK(engine.calls.empty());
}

CAF_TEST(k04_a_deployment_of_another_nextcloud_is_not_touched) {
  for (auto action : {exapp_action::start, exapp_action::stop, exapp_action::wait_for_start}) {
    auto asked = ask(action);
    reply(200, foreign);
    check(asked, 409, "409 Conflict: the Deployment nc-app-app belongs to http://other");
    CAF_CHECK(engine.calls.empty());
  }
  auto removed = ask(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(200, foreign);
  check(removed, 409);
  auto data = ask(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(200, deployment);
  reply(200, foreign);
  check(data, 409, "409 Conflict: the volume claim nc-app-app-data belongs to http://other");
  auto made = ask(exapp_action::create, R"({"name":"app","image":"i"})");
  reply(201, claim);
  reply(409);
  reply(200, foreign);
  reply(200); // the claim made for nothing
  check(made, 409, "409 Conflict: the Deployment nc-app-app belongs to http://other");
  CAF_CHECK_EQUAL(engine.lines.back(), "DELETE " + core + "persistentvolumeclaims/nc-app-app-data");
  for (const auto& line : engine.lines)
    CAF_CHECK(!line.starts_with("DELETE " + apps) && !line.starts_with("PATCH"));
}

CAF_TEST(an_unmarked_deployment_is_adopted_after_a_look_at_its_environment) {
  auto with_key = [](const std::string& key) {
    return R"({"metadata":{"name":"nc-app-app"},"spec":{"template":{"spec":{"containers":[{"env":[{"name":"HP_SHARED_KEY","value":")"
           + key + R"("}]}]}}}})";
  };
  auto adopted = ask(exapp_action::start);
  reply(200, with_key("key"));
  reply(200, deployment);
  check(adopted, 204);
  auto refused = ask(exapp_action::start);
  reply(200, with_key("another key"));
  check(refused, 409);
}

CAF_TEST(names_that_were_shortened_to_the_same_are_told_apart) {
  auto asked = ask(exapp_action::start, R"({"name":"APP"})");
  reply(200, deployment);
  check(asked, 409, "409 Conflict: the Deployment nc-app-app belongs to the app app");
}

CAF_TEST(start_and_stop_scale) {
  auto started = ask(exapp_action::start);
  reply(200, deployment);
  CAF_CHECK_EQUAL(engine.calls.front().request->body, R"({"spec":{"replicas":1}})");
  reply(200, deployment);
  check(started, 204);
  auto stopped = ask(exapp_action::stop);
  reply(200, deployment);
  CAF_CHECK_EQUAL(engine.calls.front().request->body, R"({"spec":{"replicas":0}})");
  reply(404); // gone meanwhile
  check(stopped, 404);
  auto missing = ask(exapp_action::start);
  reply(404);
  check(missing, 404);
  CAF_CHECK(engine.calls.empty());
}

CAF_TEST(wait_for_start_tells_what_the_pod_does) {
  struct {
    const char* status;
    const char* answer;
  } rows[] = {
      {R"({"phase":"Running","conditions":[{"type":"Ready","status":"True"}]})",
       R"({"started":true,"status":"running","health":"ready","reason":null,"message":null})"},
      {R"({"phase":"Succeeded"})",
       R"({"started":true,"status":"succeeded","health":"ready","reason":null,"message":null})"},
      {R"({"phase":"Failed"})",
       R"({"started":false,"status":"failed","health":"not_ready","reason":null,"message":null})"},
      {R"({"phase":"Unknown"})",
       R"({"started":false,"status":"unknown","health":"not_ready","reason":null,"message":null})"},
      {R"({"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ErrImagePull","message":"no such image"}}}]})",
       R"({"started":false,"status":"pending","health":"image_error","reason":"ErrImagePull","message":"no such image"})"},
  };
  for (const auto& row : rows) {
    auto asked = ask(exapp_action::wait_for_start);
    reply(200, deployment);
    reply(200, pods(row.status));
    check(asked, 200, row.answer);
  }
  auto missing = ask(exapp_action::wait_for_start);
  reply(404);
  check(missing, 200,
        R"({"started":false,"status":"not_found","health":null,"reason":null,"message":null})");
}

CAF_TEST(wait_for_start_gives_an_image_an_hour_and_a_pod_90_s) {
  auto asked = ask(exapp_action::wait_for_start);
  reply(200, deployment);
  reply(200, R"({"items":[]})"); // not there yet
  for (int i = 0; i < 1000; ++i) {
    pass(pod_poll_interval);
    reply(
        200,
        pods(
            R"({"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ContainerCreating"}}}]})"));
  }
  for (unsigned i = 0; i < pod_start_polls_max; ++i) {
    pass(pod_poll_interval);
    reply(200, pods(R"({"phase":"Running","conditions":[{"type":"Ready","status":"False"}]})"));
  }
  check(asked, 200,
        R"({"started":false,"status":"running","health":"timeout","reason":null,"message":null})");
}

CAF_TEST(remove_leaves_data_and_services_of_others) {
  auto plain = ask(exapp_action::remove, R"({"name":"app"})");
  reply(200, deployment);
  reply(200,
        R"({"metadata":{"name":"nc-app-app","labels":{"app.kubernetes.io/managed-by":"helm"}}})");
  reply(200);
  check(plain, 204);
  check_lines({"GET " + apps + "/nc-app-app", "GET " + core + "services/nc-app-app",
               "DELETE " + apps + "/nc-app-app?propagationPolicy=Background"});
}

CAF_TEST(remove_with_data_takes_all_that_is_ours) {
  auto all = ask(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(200, deployment);
  reply(200, claim);
  reply(200, service("{}"));
  reply(202);
  reply(200);
  reply(404);
  check(all, 204);
  CAF_CHECK_EQUAL(engine.lines.back(), "DELETE " + core + "services/nc-app-app");
  auto nothing = ask(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(404);
  reply(404);
  reply(404);
  reply(404);
  check(nothing, 204);
}

CAF_TEST(remove_with_data_under_a_role_of_harp) {
  auto ours = ask(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(200, deployment);
  reply(403); // may not read claims
  reply(404);
  reply(200);
  reply(200);
  check(ours, 204);
  CAF_CHECK_EQUAL(engine.lines.back(), "DELETE " + core + "persistentvolumeclaims/nc-app-app-data");
  auto nobodys = ask(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(404);
  reply(403);
  check(nobodys, 503);
  CAF_CHECK(engine.calls.empty());
}

CAF_TEST(certificates_need_no_call) {
  auto asked
      = ask(exapp_action::install_certificates, R"({"name":"app","system_certs_bundle":"x"})");
  check(asked, 204);
  check_lines({});
}

CAF_TEST(expose_makes_a_service_and_tells_its_place) {
  auto asked = expose(R"("expose_type":"clusterip")");
  reply(201, "{}");
  reply(200, service(R"({"type":"ClusterIP","clusterIP":"10.96.0.7","ports":[{"port":23000}]})"));
  check(
      asked, 200,
      R"({"appId":"app","host":"10.96.0.7","port":23000,"exposeType":"clusterip","serviceName":"nc-app-app","namespace":"nextcloud-exapps"})");
  auto headless = expose(R"("expose_type":"clusterip")");
  reply(409);
  reply(200, service(R"({"type":"ClusterIP","clusterIP":"None","ports":[{"port":80}]})"));
  check_place(headless, "nc-app-app.nextcloud-exapps.svc", 80);
}

CAF_TEST(expose_by_node_port_picks_a_node) {
  auto asked = expose(R"("expose_type":"nodeport","node_address_type":"ExternalIP")");
  reply(201, "{}");
  reply(200, service(R"({"type":"NodePort","ports":[{"port":1,"nodePort":30007}]})",
                     R"(,"io.harp.node-address-type":"ExternalIP")"));
  CAF_CHECK_EQUAL(engine.lines.back(), "GET /api/v1/nodes?limit=100");
  reply(200, R"({"items":[
    {"metadata":{"name":"a"},"status":{"addresses":[{"type":"ExternalIP","address":"192.0.2.1"}]}},
    {"metadata":{"name":"b"},"status":{"conditions":[{"type":"Ready","status":"True"}],
      "addresses":[{"type":"Hostname","address":"b.example"},{"type":"InternalIP","address":"10.0.0.2"}]}}]})");
  check_place(asked, "10.0.0.2", 30007);
}

CAF_TEST(expose_waits_for_a_load_balancer) {
  auto asked = expose(
      R"("expose_type":"loadbalancer","wait_timeout_seconds":2,"wait_interval_seconds":1)");
  auto pending_service = service(R"({"type":"LoadBalancer","ports":[{"port":80}]})");
  reply(201, "{}");
  reply(200, pending_service);
  pass(1s);
  reply(200, service(R"({"type":"LoadBalancer","ports":[{"port":80}]})", "",
                     R"({"loadBalancer":{"ingress":[{"hostname":"lb.example"}]}})"));
  check_place(asked, "lb.example", 80);
  auto late = expose(
      R"("expose_type":"loadbalancer","wait_timeout_seconds":2,"wait_interval_seconds":1)");
  reply(409);
  for (int i = 0; i < 2; ++i) {
    reply(200, pending_service);
    pass(1s);
  }
  reply(200, pending_service);
  check(late, 504);
}

CAF_TEST(expose_by_hand_notes_the_upstream) {
  auto asked = expose(R"("expose_type":"manual","upstream_host":"10.1.2.3","upstream_port":81)");
  CAF_CHECK(engine.calls.front().request->body.find(R"("appapi.nextcloud.com/upstream-port":"81")")
            != std::string::npos);
  reply(200, deployment);
  check(
      asked, 200,
      R"({"appId":"app","host":"10.1.2.3","port":81,"exposeType":"manual","serviceName":null,"namespace":"nextcloud-exapps"})");
  auto theirs = expose(R"("expose_type":"clusterip")");
  reply(409);
  reply(200, foreign);
  check(theirs, 409);
}

CAF_TEST(a_place_is_found_again_by_service_by_label_or_by_note) {
  auto by_name = resolve();
  reply(200, service(R"({"type":"ClusterIP","clusterIP":"10.96.0.7","ports":[{"port":5}]})"));
  check_place(by_name, "10.96.0.7", 5);
  auto by_label = resolve();
  reply(404);
  CAF_CHECK_EQUAL(engine.lines.back(),
                  "GET " + core
                      + "services?labelSelector=app.kubernetes.io%2Fpart-of%3Dnc-app-app");
  reply(200, R"({"items":[)"
                 + service(R"({"type":"ClusterIP","clusterIP":"10.96.0.8","ports":[{"port":6}]})")
                 + "]}");
  check_place(by_label, "10.96.0.8", 6);
  auto by_note = resolve();
  reply(404);
  reply(200, R"({"items":[]})");
  reply(
      200,
      R"({"items":[{"metadata":{"name":"nc-app-app-web"}},{"metadata":{"name":"nc-app-app","annotations":{"io.harp.owner":"http://nc",
    "appapi.nextcloud.com/upstream-host":"h.example","appapi.nextcloud.com/upstream-port":"7"}}}]})");
  check_place(by_note, "h.example", 7);
  auto unknown = resolve();
  reply(404);
  reply(200, R"({"items":[]})");
  reply(200, R"({"items":[]})");
  auto said = result(unknown);
  CAF_CHECK_EQUAL(said.status, 200);
  CAF_CHECK(!said.place);
  auto broken = resolve();
  reply(500);
  check(broken, 503);
  auto theirs = resolve();
  reply(200, foreign);
  reply(200, R"({"items":[]})");
  CAF_CHECK(!result(theirs).place);
}

CAF_TEST(answers_that_are_no_kubernetes_objects_are_refused) {
  for (const char* nonsense : {"", "[]", "{}", "null", R"({"metadata":7})", "not json"}) {
    auto asked = ask(exapp_action::start);
    reply(200, nonsense);
    check(asked, 503);
    auto found = resolve();
    reply(200, nonsense);
    check(found, 503);
  }
  CAF_CHECK(engine.calls.empty());
}

CAF_TEST(one_request_has_60_s_and_a_probe_4_s) {
  auto waits = ask(exapp_action::wait_for_start);
  CAF_CHECK_EQUAL(engine.calls.front().limit.count(), 60'000);
  trouble(engine_trouble::timeout);
  check(waits, 504);
  auto place = resolve();
  CAF_CHECK_EQUAL(engine.calls.front().limit.count(), 4'000);
  trouble(engine_trouble::unreachable);
  check(place, 503);
}

CAF_TEST_FIXTURE_SCOPE_END()
