// Golden documents for Kubernetes, names, quantities, what a caller may not set: appapi-harp.md 4.6, K02.
#define CAF_SUITE kubernetes_document
#include "actors/kubernetes_document.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

constexpr auto cluster = engine_kind::kubernetes;

exapp_call sound(exapp_action action, std::string_view json) {
  auto out = parse_exapp_call(action, json, cluster);
  if (auto* error = std::get_if<std::string>(&out))
    CAF_MESSAGE(*error);
  CAF_REQUIRE(std::holds_alternative<exapp_call>(out));
  return std::get<exapp_call>(out);
}

std::string fault(exapp_action action, std::string_view json) {
  auto out = parse_exapp_call(action, json, cluster);
  return std::holds_alternative<std::string>(out) ? std::get<std::string>(out) : "";
}

const std::string owner = "https://nc.example";

engine_request deployment(std::string_view json, const kubernetes_rules& rules = {}) {
  auto call = sound(exapp_action::create, json);
  return kubernetes_documents{rules, owner}.create_deployment(call, call.environment);
}

engine_request service(std::string_view json) {
  kubernetes_rules rules;
  return kubernetes_documents{rules, owner}.create_service(sound(exapp_action::expose, json));
}

bool has(const engine_request& request, std::string_view part) {
  return request.body.find(part) != std::string::npos;
}

} // namespace

CAF_TEST(a_deployment_on_cpu) {
  auto made = deployment(
      R"({"name":"my_App","image":"img:1","environment_variables":["A=b=c"],"network_mode":"host","start_container":true})");
  CAF_CHECK_EQUAL(made.method, "POST");
  CAF_CHECK_EQUAL(made.target, "/apis/apps/v1/namespaces/nextcloud-exapps/deployments");
  CAF_CHECK_EQUAL(
      made.body,
      R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"nc-app-my-app","namespace":"nextcloud-exapps",)"
      R"("labels":{"app":"nc-app-my-app","app.kubernetes.io/name":"nc-app-my-app","app.kubernetes.io/part-of":"nc-app-my-app",)"
      R"("app.kubernetes.io/component":"exapp"},"annotations":{"io.harp.owner":"https://nc.example","io.harp.app":"my_App"}},)"
      R"("spec":{"replicas":0,"selector":{"matchLabels":{"app":"nc-app-my-app"}},"template":{"metadata":{"labels":{)"
      R"("app":"nc-app-my-app","app.kubernetes.io/name":"nc-app-my-app","app.kubernetes.io/part-of":"nc-app-my-app",)"
      R"("app.kubernetes.io/component":"exapp"}},"spec":{"automountServiceAccountToken":false,"containers":[{"name":"app",)"
      R"("image":"img:1","imagePullPolicy":"IfNotPresent","env":[{"name":"A","value":"b=c"}],)"
      R"("volumeMounts":[{"name":"data","mountPath":"/nc_app_my_App_data"}]}],)"
      R"("volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"nc-app-my-app-data"}}]}}}})");
}

CAF_TEST(roles_and_instances_are_labels_of_one_base) {
  auto made = deployment(R"({"name":"app","instance_id":"Nc1","role_suffix":"_web","image":"i"})");
  CAF_CHECK(has(made, R"("name":"nc-app-nc1-app-web")"));
  CAF_CHECK(has(made, R"("app.kubernetes.io/part-of":"nc-app-nc1-app")"));
  CAF_CHECK(has(made, R"("app.kubernetes.io/instance":"nc1","app.kubernetes.io/role":"web")"));
  CAF_CHECK(has(made, R"("claimName":"nc-app-nc1-app-data")"));
}

CAF_TEST(limits_devices_and_host_aliases) {
  kubernetes_rules rules;
  rules.host_aliases
      = {{"a.example", "10.0.0.1"}, {"b.example", "10.0.0.2"}, {"c.example", "10.0.0.1"}};
  auto made = deployment(
      R"({"name":"a","image":"i","compute_device":"cuda","resource_limits":{"memory":1048577,"nanoCPUs":1500000001},
          "mount_points":[{"source":"/s","target":"/t"}]})",
      rules);
  CAF_CHECK(has(made, R"("resources":{"requests":{"cpu":"1501m","memory":"2Mi"},)"
                      R"("limits":{"cpu":"1501m","memory":"2Mi","nvidia.com/gpu":"1"}})"));
  CAF_CHECK(has(made, R"("hostAliases":[{"ip":"10.0.0.1","hostnames":["a.example","c.example"]},)"
                      R"({"ip":"10.0.0.2","hostnames":["b.example"]}])"));
  CAF_CHECK(!has(made, "/s")); // hosts have no directories to give
  auto words = deployment(
      R"({"name":"a","image":"i","compute_device":"rocm","resource_limits":{"memory":"512Mi","cpu":"0.5"}})");
  CAF_CHECK(has(words, R"("resources":{"requests":{"cpu":"0.5","memory":"512Mi"},)"
                       R"("limits":{"cpu":"0.5","memory":"512Mi","amd.com/gpu":"1"}})"));
  CAF_CHECK(!has(deployment(R"({"name":"a","image":"i","resource_limits":[]})"), "resources"));
}

CAF_TEST(k02_nothing_of_a_callers_json_survives) {
  auto made = deployment(
      R"({"name":"a","image":"i","hostNetwork":true,"privileged":true,"serviceAccountName":"root",
          "spec":{"hostPID":true},"labels":{"x":"y"},"annotations":{"z":"w"},"host_aliases":{"a":"b"}})");
  for (const char* word :
       {"hostNetwork", "rivileged", "serviceAccountName", "hostPID", "\"x\"", "\"z\""})
    CAF_CHECK(!has(made, word));
  CAF_CHECK_EQUAL(fault(exapp_action::create, R"({"name":"a","image":"i","image":"j"})"),
                  "a key is given twice");
  CAF_CHECK_NOT_EQUAL(fault(exapp_action::create, R"({"name":"a/b","image":"i"})"), "");
  CAF_CHECK_NOT_EQUAL(fault(exapp_action::create,
                            R"({"name":"a","image":"i","resource_limits":{"memory":"1\"}"}})"),
                      "");
  CAF_CHECK_NOT_EQUAL(
      fault(exapp_action::create, R"({"name":"a","image":"i","resource_limits":{"cpu":-1}})"), "");
}

CAF_TEST(a_claim) {
  kubernetes_rules rules;
  auto call = sound(exapp_action::create, R"({"name":"app","image":"i"})");
  auto made = kubernetes_documents{rules, owner}.create_claim(call);
  CAF_CHECK_EQUAL(made.target, "/api/v1/namespaces/nextcloud-exapps/persistentvolumeclaims");
  CAF_CHECK_EQUAL(
      made.body,
      R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"nc-app-app-data","namespace":"nextcloud-exapps",)"
      R"("labels":{"app.kubernetes.io/name":"nc-app-app","app.kubernetes.io/part-of":"nc-app-app",)"
      R"("app.kubernetes.io/component":"exapp-data"},"annotations":{"io.harp.owner":"https://nc.example","io.harp.app":"app"}},)"
      R"("spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"10Gi"}}}})");
  rules.storage_class = "fast";
  rules.storage_size = "1Gi";
  made = kubernetes_documents{rules, owner}.create_claim(call);
  CAF_CHECK(has(made, R"("requests":{"storage":"1Gi"}},"storageClassName":"fast"})"));
}

CAF_TEST(a_service_of_each_type) {
  auto plain = service(R"({"name":"app","port":23000})");
  CAF_CHECK_EQUAL(
      plain.body,
      R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"nc-app-app","namespace":"nextcloud-exapps",)"
      R"("labels":{"app":"nc-app-app","app.kubernetes.io/name":"nc-app-app","app.kubernetes.io/part-of":"nc-app-app",)"
      R"("app.kubernetes.io/component":"exapp","app.kubernetes.io/managed-by":"harp"},)"
      R"("annotations":{"io.harp.owner":"https://nc.example","io.harp.app":"app"}},)"
      R"("spec":{"type":"ClusterIP","selector":{"app":"nc-app-app"},)"
      R"("ports":[{"name":"http","protocol":"TCP","port":23000,"targetPort":23000}]}})");
  auto node = service(
      R"({"name":"app","port":23000,"expose_type":"nodeport","node_port":30001,"service_port":80,"external_traffic_policy":"Local",
          "node_address_type":"ExternalIP","node_name":"n1","node_label_selector":"a=b","upstream_host":"edge.example"})");
  CAF_CHECK(has(
      node,
      R"("spec":{"type":"NodePort","selector":{"app":"nc-app-app"},"ports":[{"name":"http","protocol":"TCP",)"
      R"("port":80,"targetPort":23000,"nodePort":30001}],"externalTrafficPolicy":"Local"})"));
  CAF_CHECK(has(
      node, R"("io.harp.upstream-host":"edge.example","io.harp.node-address-type":"ExternalIP",)"
            R"("io.harp.node-name":"n1","io.harp.node-label-selector":"a=b")"));
  auto balanced = service(
      R"({"name":"app","port":1,"expose_type":"loadbalancer","load_balancer_ip":"192.0.2.7",
          "service_labels":{"team":"x"},"service_annotations":{"cloud.example/kind":"internal, \"quoted\""}})");
  CAF_CHECK(has(balanced, R"("type":"LoadBalancer")"));
  CAF_CHECK(has(balanced, R"("loadBalancerIP":"192.0.2.7")"));
  CAF_CHECK(has(balanced, R"("app.kubernetes.io/managed-by":"harp","team":"x"})"));
  CAF_CHECK(has(balanced, R"("cloud.example/kind":"internal, \"quoted\"")"));
}

CAF_TEST(expose_calls_of_bad_form_are_refused) {
  for (const char* more :
       {R"("port":0)", R"("port":65536)", R"("expose_type":"nodeport")",
        R"("port":1,"expose_type":"ingress")", R"("port":1,"expose_type":"manual")",
        R"("port":1,"upstream_port":2)", R"("port":1,"node_port":80)",
        R"("port":1,"upstream_host":"a b")", R"("port":1,"external_traffic_policy":"All")",
        R"("port":1,"wait_timeout_seconds":601)", R"("port":1,"wait_interval_seconds":0)",
        R"("port":1,"node_address_type":"Hostname")", R"("port":1,"service_labels":{"a":1})",
        R"("port":1,"service_labels":["a"])", R"("port":1,"node_label_selector":"a\nb")"})
    CAF_CHECK_NOT_EQUAL(fault(exapp_action::expose, R"({"name":"app",)" + std::string{more} + "}"),
                        "");
}

CAF_TEST(k02_marks_that_harp_relies_on_are_not_a_callers) {
  for (const char* key :
       {"app", "app.kubernetes.io/managed-by", "app.kubernetes.io/part-of", "io.harp.owner",
        "appapi.nextcloud.com/upstream-host", "", "a b", "a/b/c", "-a", "/a"}) {
    auto one = std::string{R"(":{")"} + key + R"(":"x"})";
    CAF_CHECK_NOT_EQUAL(
        fault(exapp_action::expose, R"({"name":"a","port":1,"service_labels)" + one + "}"), "");
    CAF_CHECK_NOT_EQUAL(
        fault(exapp_action::expose, R"({"name":"a","port":1,"service_annotations)" + one + "}"),
        "");
  }
  CAF_CHECK_NOT_EQUAL(
      fault(exapp_action::expose, R"({"name":"a","port":1,"service_labels":{"a":"not a label"}})"),
      "");
  std::string many;
  for (int i = 0; i < 65; ++i)
    many += (i > 0 ? "," : "") + ("\"k" + std::to_string(i)) + "\":\"v\"";
  CAF_CHECK_NOT_EQUAL(
      fault(exapp_action::expose, R"({"name":"a","port":1,"service_labels":{)" + many + "}}"), "");
}

CAF_TEST(names_are_those_kubernetes_takes) {
  CAF_CHECK_EQUAL(kubernetes_name("nc_app_My.App__x"), "nc-app-my-app-x");
  CAF_CHECK_EQUAL(kubernetes_name("__a__"), "a");
  CAF_CHECK_EQUAL(kubernetes_name("___"), "");
  CAF_CHECK_EQUAL(kubernetes_name(std::string(62, 'a') + "_" + "b"), std::string(62, 'a'));
  CAF_CHECK_EQUAL(kubernetes_name(std::string(100, 'a')).size(), kubernetes_name_bytes_max);
}

CAF_TEST(quantities_are_rounded_up) {
  CAF_CHECK_EQUAL(memory_quantity(1), "1Mi");
  CAF_CHECK_EQUAL(memory_quantity(1024 * 1024), "1Mi");
  CAF_CHECK_EQUAL(memory_quantity(INT64_MAX), "8796093022208Mi");
  CAF_CHECK_EQUAL(cpu_quantity(0), "1m");
  CAF_CHECK_EQUAL(cpu_quantity(1), "1m");
  CAF_CHECK_EQUAL(cpu_quantity(2'000'000'000), "2000m");
}

CAF_TEST(requests_name_one_object_or_one_app) {
  kubernetes_rules rules;
  rules.name_space = "my ns";
  kubernetes_documents documents{rules, owner};
  CAF_CHECK_EQUAL(documents.get_deployment("d").target,
                  "/apis/apps/v1/namespaces/my%20ns/deployments/d");
  auto patch = documents.scale_deployment("d", 1);
  CAF_CHECK_EQUAL(patch.method + " " + patch.content_type + " " + patch.body,
                  R"(PATCH application/strategic-merge-patch+json {"spec":{"replicas":1}})");
  CAF_CHECK_EQUAL(
      documents.annotate_upstream("d", {"h", 7}).body,
      R"({"metadata":{"annotations":{"appapi.nextcloud.com/expose-type":"manual",)"
      R"("appapi.nextcloud.com/upstream-host":"h","appapi.nextcloud.com/upstream-port":"7"}}})");
  CAF_CHECK_EQUAL(documents.list_pods("d").target,
                  "/api/v1/namespaces/my%20ns/pods?labelSelector=app%3Dd");
  CAF_CHECK_EQUAL(
      list_nodes_request("n 1", "a in (b)").target,
      "/api/v1/nodes?limit=100&fieldSelector=metadata.name%3Dn%201&labelSelector=a%20in%20%28b%29");
  CAF_CHECK_EQUAL(
      access_review_request("ns", "apps", "deployments", "get").body,
      R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":)"
      R"({"verb":"get","group":"apps","resource":"deployments","namespace":"ns"}}})");
}
