// AppAPI deploys through Harp on real engines: the transcript of appapi-harp.md 6, engines that die in
// every step, owners, commands: X10, X12, X13, K04, FR5, FR6.
#define CAF_SUITE e2e_engines
#include "tests/e2e/engine_deployment.hpp"

#include <iostream>
#include <random>
#include <thread>

using namespace harp::e2e;

CAF_TEST(x10_the_transcript_on_the_local_engine) {
  if (!can_run())
    return;
  docker_engine engine;
  CAF_REQUIRE(engine.start());
  image_registry registry{root_tar()};
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", engine.socket()}}, 24000, true));
  world.check_connection();
  auto& caller = *world.caller;
  caller.image = registry.repository() + ":release-cpu";
  std::string encoded = registry.repository();
  for (size_t at = 0; (at = encoded.find_first_of("/:", at)) != std::string::npos; at += 3)
    encoded.replace(at, 1, encoded[at] == '/' ? "%2F" : "%3A");
  auto missing
      = caller.docker("POST", "/v1.41/images/create?fromImage=" + encoded + "%3Arelease-cuda");
  CAF_CHECK(missing.status >= 400); // AppAPI tries the next tag
  auto pulled
      = caller.docker("POST", "/v1.41/images/create?fromImage=" + encoded + "%3Arelease-cpu", 120s);
  CAF_CHECK_EQUAL(pulled.status, 200);
  CAF_CHECK(pulled.body.find("Pull complete") != std::string::npos);
  CAF_CHECK_EQUAL(caller.docker("GET", "/v1.41/images/" + caller.image + "/json").status, 200);
  world.deploy(one_certificate);
  check_container(engine, world);
  world.enable_and_use();
  world.read_log();
  world.disable();
  world.deploy(); // an update: the same port and secret
  world.enable_and_use();
  world.disable();
  world.remove(engine, false);
  world.deploy();
  world.remove(engine, true);
  auto freed
      = parsed(caller.helper("image_remove", nlohmann::json{{"image_ref", caller.image}}.dump()));
  CAF_CHECK(freed["deleted"] == true && freed["bytes_freed"] > 1'000'000);
  freed = parsed(caller.helper("image_remove", nlohmann::json{{"image_ref", caller.image}}.dump()));
  CAF_CHECK(freed["reason"] == "not_found");
  CAF_CHECK_EQUAL(world.harp->error_lines(), std::vector<std::string>{});
  CAF_CHECK(world.harp->log().find(world.harp->key()) == std::string::npos);
}

CAF_TEST(x10_the_transcript_on_a_remote_engine_behind_a_tunnel) {
  if (!can_run())
    return;
  docker_engine engine{true};
  CAF_REQUIRE(engine.start());
  CAF_REQUIRE(import_image(engine, root_tar()));
  deployment world;
  CAF_REQUIRE(world.begin({{"HP_FRP_ADDRESS", engine.gateway() + ":0"}}, 24001, true));
  CAF_CHECK_EQUAL(world.caller->docker("GET", "/v1.41/_ping", 3s).status, 503); // no tunnel yet
  CAF_CHECK_EQUAL(world.caller->helper("exists", world.caller->named()).status, 503);
  tunnel_settings settings;
  settings.proxy = "deploy-daemon-1";
  settings.port = 24001;
  settings.to = "unix:" + engine.socket();
  settings.token = world.harp->key();
  settings.certs = world.harp->certs() + "/frp";
  tunnel_client tunnel{image_client(), world.harp->frp(), settings};
  CAF_REQUIRE(
      world.eventually(200, [&] { return world.caller->docker("GET", "/v1.41/_ping", 3s); }));
  CAF_CHECK_EQUAL(
      world.caller->docker("GET", "/v1.41/images/" + world.caller->image + "/json").status, 200);
  world.deploy(one_certificate);
  check_container(engine, world);
  world.enable_and_use();
  world.read_log();
  world.disable();
  world.remove(engine, true);
  CAF_CHECK_EQUAL(world.harp->error_lines(), std::vector<std::string>{});
}

CAF_TEST(x10_the_transcript_on_podman) {
  if (!can_run(engine_kind::podman))
    return;
  docker_engine engine{false, engine_kind::podman};
  CAF_REQUIRE(engine.start());
  CAF_REQUIRE(import_image(engine, root_tar()));
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", engine.socket()}}, 24000, true));
  world.check_connection();
  CAF_CHECK_EQUAL(
      world.caller->docker("GET", "/v1.41/images/" + world.caller->image + "/json").status, 200);
  world.deploy(one_certificate);
  check_container(engine, world);
  world.enable_and_use();
  world.read_log();
  world.disable();
  world.deploy();
  world.remove(engine, true);
  CAF_CHECK_EQUAL(world.harp->error_lines(), std::vector<std::string>{});
}

CAF_TEST(x12_certificates_are_in_place_before_the_first_start) {
  if (!can_run())
    return;
  docker_engine engine;
  CAF_REQUIRE(engine.start());
  CAF_REQUIRE(import_image(engine, root_tar()));
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", engine.socket()}}, 24000, true));
  auto& caller = *world.caller;
  CAF_CHECK_EQUAL(caller.helper("install_certificates", caller.certificates_body()).status, 404);
  CAF_REQUIRE_EQUAL(caller.helper("create", caller.create_body()).status, 201);
  CAF_CHECK_EQUAL(caller.helper("create", caller.create_body()).status, 409);
  CAF_CHECK_EQUAL(caller.helper("install_certificates", caller.certificates_body()).status, 204);
  CAF_CHECK_EQUAL(engine.status("nc_app_test-deploy"), "created"); // never started for it
  auto file = [&engine](const std::string& path) {
    return engine.api("GET", "/containers/nc_app_test-deploy/archive?path=" + path);
  };
  for (const char* name : {"ca.crt", "client.crt", "client.key"})
    CAF_CHECK(file(std::string{"/certs/frp/"} + name)
                  .body.find(read_file(world.harp->certs() + "/frp/" + name))
              != std::string::npos);
  CAF_CHECK_EQUAL(
      caller.helper("install_certificates", caller.certificates_body(one_certificate)).status, 204);
  CAF_CHECK_EQUAL(engine.status("nc_app_test-deploy"), "exited");
  CAF_CHECK_EQUAL(file("/usr/local/share/ca-certificates/custom_ca_cert_0.crt").status, 200);
  CAF_CHECK_EQUAL(file("/updated").status, 200); // the tool ran
  CAF_CHECK_EQUAL(caller.helper("start", caller.named()).status, 204);
  CAF_CHECK_EQUAL(caller.helper("start", caller.named()).status, 200); // X13
  CAF_CHECK_EQUAL(caller.helper("remove", caller.named(R"("remove_data":true)")).status, 204);
  CAF_CHECK_EQUAL(caller.helper("start", caller.named()).status, 404);
  CAF_CHECK_EQUAL(caller.helper("stop", caller.named()).status, 404);
  CAF_CHECK(parsed(caller.helper("wait_for_start", caller.named()))["status"] == "not_found");
}

CAF_TEST(an_engine_may_die_in_the_middle_of_every_step) {
  if (!can_run())
    return;
  docker_engine engine;
  CAF_REQUIRE(engine.start());
  CAF_REQUIRE(import_image(engine, root_tar()));
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", engine.socket()}}, 24000, true));
  auto& caller = *world.caller;
  auto seed = std::random_device{}();
  std::cout << "seed " << seed << std::endl;
  std::mt19937 random{seed};
  const std::vector<std::pair<std::string, std::string>> steps{
      {"exists", caller.named()},
      {"create", caller.create_body()},
      {"install_certificates", caller.certificates_body(one_certificate)},
      {"start", caller.named()},
      {"wait_for_start", caller.named()},
      {"stop", caller.named()},
      {"remove", caller.named(R"("remove_data":true)")}};
  for (const auto& [action, body] : steps) {
    response answer;
    auto began = clock::now();
    std::thread asking{[&, action = action, body = body] { answer = caller.helper(action, body); }};
    std::this_thread::sleep_for(milliseconds{random() % 120}); // the moment of death is the input
    engine.kill();
    asking.join();
    CAF_MESSAGE(action << " while the engine dies: " << answer.status << ' ' << answer.body);
    CAF_CHECK(answer.status == 503 || answer.status == 504
              || (answer.status >= 200 && answer.status < 300));
    CAF_CHECK(clock::now() - began < 20s * patience());
    CAF_CHECK_EQUAL(caller.helper(action, body).status, 503); // down
    CAF_REQUIRE(engine.start());
    auto repeated = caller.helper(action, body); // multi-step actions can be repeated (R1)
    bool done_before = repeated.status == 409 && action == "create";
    bool good = (repeated.status >= 200 && repeated.status < 300) || done_before;
    CAF_MESSAGE(action << " again: " << repeated.status << ' ' << repeated.body);
    CAF_CHECK(good);
  }
  CAF_CHECK(parsed(caller.helper("exists", caller.named()))["exists"] == false);
}

CAF_TEST(k04_what_another_nextcloud_owns_is_not_touched) {
  if (!can_run())
    return;
  docker_engine engine;
  CAF_REQUIRE(engine.start());
  CAF_REQUIRE(import_image(engine, root_tar()));
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", engine.socket()}}, 24000, true));
  auto& caller = *world.caller;
  std::string labels = R"("Labels":{"io.harp.owner":"https://other.example"})";
  CAF_REQUIRE_EQUAL(
      engine.api("POST", "/volumes/create", R"({"Name":"nc_app_test-deploy_data",)" + labels + "}")
          .status,
      201);
  auto refused = caller.helper("create", caller.create_body());
  CAF_CHECK_EQUAL(refused.status, 409);
  CAF_CHECK(refused.body.find("https://other.example") != std::string::npos);
  CAF_CHECK_EQUAL(engine.status("nc_app_test-deploy"), "");
  CAF_REQUIRE_EQUAL(
      engine
          .api("POST", "/containers/create?name=nc_app_test-deploy",
               R"({"Image":")" + std::string{exapp_image}
                   + R"(","Cmd":["/bin/cat","/dev/zero"],"HostConfig":{"NetworkMode":"host"},)"
                   + labels + "}")
          .status,
      201);
  for (const auto& [action, body] : std::vector<std::pair<std::string, std::string>>{
           {"create", caller.create_body()},
           {"remove", caller.named()},
           {"remove", caller.named(R"("remove_data":true)")},
           {"start", caller.named()},
           {"stop", caller.named()},
           {"install_certificates", caller.certificates_body(one_certificate)}}) {
    auto answer = caller.helper(action, body);
    CAF_MESSAGE(action);
    CAF_CHECK_EQUAL(answer.status, 409);
    CAF_CHECK(answer.body.find("https://other.example") != std::string::npos);
  }
  CAF_CHECK_EQUAL(engine.status("nc_app_test-deploy"), "created");
  CAF_CHECK_EQUAL(engine.api("GET", "/volumes/nc_app_test-deploy_data").status, 200);
  CAF_REQUIRE_EQUAL(engine.api("DELETE", "/containers/nc_app_test-deploy").status, 204);
  // only the container is foreign: the volume that was made for the call goes again
  CAF_REQUIRE_EQUAL(engine.api("DELETE", "/volumes/nc_app_test-deploy_data").status, 204);
  CAF_REQUIRE_EQUAL(engine
                        .api("POST", "/containers/create?name=nc_app_test-deploy",
                             R"({"Image":")" + std::string{exapp_image}
                                 + R"(","HostConfig":{"NetworkMode":"host"},)" + labels + "}")
                        .status,
                    201);
  CAF_CHECK_EQUAL(caller.helper("create", caller.create_body()).status, 409);
  CAF_CHECK_EQUAL(engine.api("GET", "/volumes/nc_app_test-deploy_data").status, 404);
}

CAF_TEST(unlabelled_containers_of_harp_are_adopted_after_a_look) {
  if (!can_run())
    return;
  docker_engine engine;
  CAF_REQUIRE(engine.start());
  CAF_REQUIRE(import_image(engine, root_tar()));
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", engine.socket()}}, 24000, true));
  auto make = [&engine](const std::string& name, const std::string& key) {
    return engine
        .api("POST", "/containers/create?name=nc_app_" + name,
             R"({"Image":")" + std::string{exapp_image} + R"(","Env":["HP_SHARED_KEY=)" + key
                 + R"("],"HostConfig":{"NetworkMode":"host"}})")
        .status;
  };
  CAF_REQUIRE_EQUAL(make("old", world.harp->key()), 201);
  CAF_REQUIRE_EQUAL(make("strange", "the key of somebody else"), 201);
  CAF_CHECK_EQUAL(world.caller->helper("remove", R"({"name":"strange"})").status, 409);
  CAF_CHECK_EQUAL(engine.status("nc_app_strange"), "created");
  CAF_CHECK_EQUAL(world.caller->helper("remove", R"({"name":"old"})").status, 204);
  CAF_CHECK_EQUAL(engine.status("nc_app_old"), "");
  CAF_CHECK(world.harp->log().find("HARP-E025") != std::string::npos);
}

CAF_TEST(commands_tell_of_engines_and_apps) {
  if (!can_run())
    return;
  docker_engine engine;
  CAF_REQUIRE(engine.start());
  CAF_REQUIRE(import_image(engine, root_tar()));
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", engine.socket()}}, 24000, true));
  auto ask = [&world](std::vector<std::string> words, int wanted = 0) {
    words.emplace_back("--json");
    auto done = world.harp->command(words);
    CAF_MESSAGE(words[0] << ' ' << words[1] << ": " << done.output);
    CAF_CHECK_EQUAL(done.status, wanted);
    return nlohmann::json::parse(done.output, nullptr, false);
  };
  auto engines = ask({"engine", "ls"});
  CAF_REQUIRE_EQUAL(engines["engines"].size(), 1u);
  CAF_CHECK(engines["engines"][0]["port"] == 24000
            && engines["engines"][0]["place"] == "unix:" + engine.socket());
  auto facts = ask({"engine", "check", "24000"});
  CAF_CHECK(facts["product"] == "Docker");
  for (const auto& [right, granted] : facts["rights"].items())
    CAF_CHECK(granted == "granted");
  engines = ask({"engine", "ls"});
  CAF_CHECK(engines["engines"][0]["reachable"] == "yes");
  CAF_CHECK(engines["engines"][0]["api"] == facts["api"]);
  CAF_CHECK(ask({"apps", "ls"})["apps"].empty());
  CAF_REQUIRE_EQUAL(world.caller->helper("create", world.caller->create_body()).status, 201);
  auto apps = ask({"apps", "ls"});
  CAF_REQUIRE_EQUAL(apps["apps"].size(), 1u);
  CAF_CHECK(apps["apps"][0]["app"] == "test-deploy" && apps["apps"][0]["owner"] == "this Nextcloud"
            && apps["apps"][0]["status"] == "created");
  CAF_CHECK(apps["apps"][0]["findings"].empty());
  CAF_CHECK(apps.dump().find(world.harp->key()) == std::string::npos);
  CAF_CHECK(ask({"apps", "start", "test-deploy"})["done"] == true);
  CAF_CHECK_EQUAL(engine.status("nc_app_test-deploy"), "running");
  CAF_CHECK(until(10s * patience(), [&] {
    return ask({"apps", "logs", "test-deploy"})["log"].get<std::string>().find("the app starts")
           != std::string::npos;
  }));
  CAF_CHECK(ask({"apps", "stop", "test-deploy"})["done"] == true);
  CAF_CHECK(engine.status("nc_app_test-deploy") == "exited");
  ask({"apps", "stop", "nobody"}, 1);
  // a further engine: here the same one by another port
  ask({"engine", "add", "24005", engine.socket()});
  CAF_CHECK_EQUAL(ask({"engine", "ls"})["engines"].size(), 2u);
  CAF_CHECK_EQUAL(appapi(*world.harp, 24005).docker("GET", "/v1.41/_ping").body, "OK");
  ask({"engine", "add", "24005", "/elsewhere.sock"}, 1);
  ask({"engine", "add", "24000", engine.socket()}, 1);
  ask({"engine", "add", "22", engine.socket()}, 1);
  CAF_REQUIRE(world.harp->restart());
  CAF_CHECK_EQUAL(ask({"engine", "ls"})["engines"].size(), 2u); // it is kept
  ask({"engine", "rm", "24005"});
  CAF_CHECK_EQUAL(ask({"engine", "ls"})["engines"].size(), 1u);
  ask({"engine", "rm", "24005"}, 1);
  auto adopted = ask({"adopt", "--certs", world.harp->certs()});
  CAF_CHECK(adopted["certificates"][0]["verdict"] == "is used as it is");
  CAF_REQUIRE_EQUAL(adopted["containers"].size(), 1u);
  CAF_CHECK_EQUAL(world.harp->command({"engine", "check", "24000"}).status, 0); // for people
  world.harp->stop();
  CAF_CHECK_EQUAL(world.harp->command({"engine", "ls"}).status, 3);
  CAF_CHECK_EQUAL(world.harp->command({"adopt"}).status, 0);
}
