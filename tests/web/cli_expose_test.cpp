// `harp expose` until the hook: what is taken from words, environment and files, and what is refused.
#define CAF_SUITE cli_expose

#include "tests/web/cli_fixture.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;
using namespace harp::web;

CAF_TEST_FIXTURE_SCOPE(cli_expose_tests, cli_fixture)

CAF_TEST(hands_over_what_to_expose) {
  expose_options seen;
  hooks.expose = [&](const expose_options& options) {
    seen = options;
    return 0;
  };
  set("HP_SHARED_KEY", "\"the key\"");
  CAF_CHECK_EQUAL(
      run(expose_words({"--encryption", "--compression", "--no-mux", "--server-name", "n"})).code,
      0);
  CAF_CHECK_EQUAL(seen.name, "sample");
  CAF_CHECK_EQUAL(seen.remote_port, 23000);
  CAF_CHECK_EQUAL(seen.local_unix, "/run/s.sock");
  CAF_CHECK_EQUAL(seen.server_host, "127.0.0.1");
  CAF_CHECK_EQUAL(seen.server_port, 8782);
  CAF_CHECK_EQUAL(seen.server_name, "n");
  CAF_CHECK_EQUAL(seen.token, "the key");
  CAF_CHECK(seen.encryption && seen.compression && !seen.mux && !seen.tls);
  set("HARP_TOKEN", "hx1.credential");
  CAF_CHECK_EQUAL(run(expose_words()).code, 0);
  CAF_CHECK_EQUAL(seen.token, "hx1.credential");
  CAF_CHECK(seen.mux);
  auto token = file("token", "from file\n");
  CAF_CHECK_EQUAL(run(expose_words({"--token-file", token})).code, 0);
  CAF_CHECK_EQUAL(seen.token, "from file");
}

CAF_TEST(finds_the_server_and_certificates_of_an_exapp_container) {
  expose_options seen;
  hooks.expose = [&](const expose_options& options) {
    seen = options;
    return 0;
  };
  set("HP_FRP_ADDRESS", "appapi-harp");
  set("HP_FRP_PORT", "8782");
  set("HP_SHARED_KEY", "k");
  std::vector<std::string> words{"expose", "a", "--port", "23001", "--to", "[::1]:5000"};
  auto without = run(words);
  CAF_CHECK_EQUAL(without.code, 1);
  CAF_CHECK(has(without.err, "--no-tls"));
  for (const char* name : {"client.crt", "client.key", "ca.crt"})
    file(std::string{"certs/frp/"} + name, "x");
  CAF_CHECK_EQUAL(run(words).code, 0);
  CAF_CHECK_EQUAL(seen.server_host, "appapi-harp");
  CAF_CHECK_EQUAL(seen.local_host, "::1");
  CAF_CHECK_EQUAL(seen.local_port, 5000);
  CAF_CHECK(seen.tls);
  CAF_CHECK_EQUAL(seen.tls_dir, dir.string() + "/certs/frp");
  CAF_CHECK_EQUAL(seen.server_name, "harp.nc");
}

CAF_TEST(refuses_bad_expose_arguments) {
  bool called = false;
  hooks.expose = [&](const expose_options&) {
    called = true;
    return 0;
  };
  set("HP_SHARED_KEY", "k");
  struct row {
    const char* option;
    const char* text;
  };
  for (const auto& [option, text] :
       {row{"--port", "0"}, row{"--port", "65536"}, row{"--port", "-1"}, row{"--port", "x"},
        row{"--to", "unix:rel"}, row{"--to", "unix:"}, row{"--to", "host"}, row{"--to", "host:0"},
        row{"--to", "::1:80"}, row{"--to", "a b:1"}, row{"--server", "host"}, row{"--server", ":1"},
        row{"--server", "host:70000"}, row{"name", "with blank"}, row{"name", ""}}) {
    std::vector<std::string> words{"expose"};
    std::map<std::string, std::string> options{
        {"--port", "23000"}, {"--to", "h:1"}, {"--server", "s:1"}, {"name", "app"}};
    options[option] = text;
    words.push_back(options["name"]);
    for (const char* name : {"--port", "--to", "--server"})
      words.push_back(std::string{name} + "=" + options[name]);
    words.push_back("--no-tls");
    auto result = run(words);
    if (result.code != 2)
      CAF_ERROR(option << "=" << text << " gives " << result.code << ": " << result.err);
  }
  CAF_CHECK(!called);
}

CAF_TEST(needs_a_token_and_never_repeats_it) {
  hooks.expose = [](const expose_options&) { return 0; };
  auto none = run(expose_words());
  CAF_CHECK_EQUAL(none.code, 1);
  CAF_CHECK(has(none.err, "--token-file"));
  set("HARP_TOKEN", std::string{canary} + "\n");
  auto bad = run(expose_words());
  CAF_CHECK_EQUAL(bad.code, 1);
  CAF_CHECK(has(bad.err, "the token has control bytes"));
  CAF_CHECK(!has(bad.err, canary));
  CAF_CHECK_EQUAL(run(expose_words({"--token", canary})).code, 2);
}

CAF_TEST_FIXTURE_SCOPE_END()
