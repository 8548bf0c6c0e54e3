// The command line: exit codes, suggestions, what is printed, what the daemon is asked.
#define CAF_SUITE cli

#include "tests/web/cli_fixture.hpp"
#include "tests/web/fake_admin.hpp"
#include "web/admin_client.hpp"
#include "web/cli.hpp"
#include "web/cli_settings.hpp"
#include "web/version.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace harp;
using namespace harp::web;

CAF_TEST_FIXTURE_SCOPE(cli_tests, cli_fixture)

CAF_TEST(prints_the_version) {
  auto text = run({"version"});
  CAF_CHECK_EQUAL(text.code, 0);
  CAF_CHECK_EQUAL(text.out, "harp " + std::string{version} + "\n");
  auto json = nlohmann::json::parse(run({"version", "--json"}).out);
  CAF_CHECK_EQUAL(json["version"].get<std::string>(), std::string{version});
  CAF_CHECK_EQUAL(run({"--json", "version"}).out, run({"version", "--json"}).out);
}

CAF_TEST(answers_wrong_usage_with_two_and_the_nearest_word) {
  struct row {
    std::vector<std::string> words;
    const char* part;
  };
  for (const auto& [words, part] :
       {row{{}, "a command is missing"}, row{{"sreve"}, "did you mean serve?"},
        row{{"config"}, "a command is missing"}, row{{"config", "chekc"}, "did you mean check?"},
        row{{"bans", "lst"}, "did you mean ls?"},
        row{{"serve", "--stat", "x"}, "did you mean --state?"},
        row{{"--jsno", "status"}, "did you mean --json?"},
        row{{"status", "extra"}, "unexpected argument \"extra\""}, row{{"--state"}, "--state"},
        row{{"serve", "health"}, "health"}, row{{"expose"}, "required"},
        row{{"completion", "fish"}, "bash or zsh"},
        row{{"config", "show", "--set", "threads"}, "KEY=VALUE"},
        row{{"bans", "lift"}, "address or --all"},
        row{{"config", "show", "--set", "threads=1", "--set", "threads=2"}, "twice"},
        row{{"bans", "lift", "1.2.3.4", "--all"}, "not both"},
        row{{"bans", "lift", "evil"}, "\"evil\""},
        row{{"bans", "lift", "2001:db8::/32"}, "IPv6 /64"},
        row{{"zzzzzzzz"}, "unknown command \"zzzzzzzz\""}}) {
    auto result = run(words);
    CAF_CHECK_EQUAL(result.code, 2);
    if (!has(result.err, part))
      CAF_ERROR("lacks " << part << ": " << result.err);
    CAF_CHECK_EQUAL(result.out, "");
  }
}

CAF_TEST(helps_without_complaint) {
  auto root = run({"--help"});
  CAF_CHECK_EQUAL(root.code, 0);
  for (const char* word :
       {"serve", "expose", "status", "health", "bans", "config", "version", "completion", "man",
        "--state", "--certs", "--json", "harp config reference"})
    CAF_CHECK(has(root.out, word));
  auto inner = run({"bans", "lift", "--help"});
  CAF_CHECK_EQUAL(inner.code, 0);
  CAF_CHECK(has(inner.out, "--all"));
}

CAF_TEST(documents_every_key_in_the_help_of_serve_and_the_man_page) {
  auto help = run({"serve", "--help"}).out;
  auto page = run({"man"}).out;
  for (const auto& info : config_keys()) {
    CAF_CHECK(has(help, info.name));
    CAF_CHECK(has(help, info.meaning));
    CAF_CHECK(has(page, info.name));
    for (const auto& name : info.environment) {
      CAF_CHECK(has(help, name));
      CAF_CHECK(has(page, name));
    }
  }
  CAF_CHECK_EQUAL(page.find(".TH HARP 1"), 0u);
  CAF_CHECK(has(page, ".SS harp bans lift"));
}

CAF_TEST(completes_commands_and_options) {
  for (const char* shell : {"bash", "zsh"}) {
    auto script = run({"completion", shell});
    CAF_CHECK_EQUAL(script.code, 0);
    CAF_CHECK(has(script.out, "'bans') offered='ls lift "));
    CAF_CHECK(has(script.out, "'bans lift') offered='"));
    CAF_CHECK(has(script.out, "--tls-dir"));
    CAF_CHECK(has(script.out, "|--server-name"));
    CAF_CHECK(!has(script.out, "|--json)"));
  }
}

CAF_TEST(offers_the_right_words_in_a_real_bash) {
  auto script = file("harp.bash", run({"completion", "bash"}).out);
  auto ask
      = "bash -c '. " + script
        + "; COMP_WORDS=(harp --state /x bans l); COMP_CWORD=4; _harp; echo ${COMPREPLY[*]}' > "
        + (dir / "offered").string();
  CAF_REQUIRE_EQUAL(system(ask.c_str()), 0);
  std::ifstream in{dir / "offered"};
  std::string line;
  std::getline(in, line);
  CAF_CHECK_EQUAL(line, "ls lift");
}

CAF_TEST(checks_the_configuration) {
  auto fine = run({"config", "check"});
  CAF_CHECK_EQUAL(fine.code, 0);
  CAF_CHECK(has(fine.out, "usable (0 errors, 0 warnings)"));
  sources.environment["HARP_TREADS"] = "1";
  sources.environment["HARP_LISTEN_CONSOLE"] = "0.0.0.0:1";
  auto bad = run({"config", "check"});
  CAF_CHECK_EQUAL(bad.code, 1);
  CAF_CHECK(has(bad.out,
                "error: unknown environment variable \"HARP_TREADS\"; did you mean HARP_THREADS?"));
  CAF_CHECK(has(bad.out, "warning: HARP_LISTEN_CONSOLE is not a loopback"));
  auto json = nlohmann::json::parse(run({"config", "check", "--json"}).out);
  CAF_CHECK_EQUAL(json["ok"].get<bool>(), false);
  CAF_CHECK_EQUAL(json["errors"].size(), 1u);
  CAF_CHECK_EQUAL(json["warnings"].size(), 1u);
}

CAF_TEST(shows_values_and_origins_but_no_secret) {
  open_proxy();
  set("HP_SHARED_KEY", canary);
  auto shown = run({"config", "show", "--origin", "--set", "threads=3", "--set", "log.level=info"});
  CAF_CHECK_EQUAL(shown.code, 0);
  CAF_CHECK(has(shown.out, "# env HP_SHARED_KEY"));
  CAF_CHECK(has(shown.out, "# flag --set threads"));
  CAF_CHECK(has(shown.out, "(set)"));
  CAF_CHECK(!has(shown.out, canary));
  CAF_CHECK(!has(run({"config", "show"}).out, "env HP_SHARED_KEY"));
  auto json = nlohmann::json::parse(run({"config", "show", "--json"}).out);
  CAF_CHECK(!has(json.dump(), canary));
  CAF_CHECK_EQUAL(json["keys"][0]["key"].get<std::string>(), "state");
}

CAF_TEST(serves_only_with_a_valid_configuration) {
  int served = 0;
  std::string console;
  hooks.serve = [&](const config& c) {
    ++served;
    console = c.console.to_string();
    return 0;
  };
  hooks.loaded = [&](const config_result& all, const config_sources& from) {
    CAF_CHECK(!all.origins.empty());
    CAF_CHECK_EQUAL(from.flags.size(), 1u);
  };
  set("HARP_LISTEN_CONSOLE", "127.0.0.1:0");
  CAF_CHECK_EQUAL(run({"--state", dir.string(), "serve"}).code, 0);
  CAF_CHECK_EQUAL(run({"serve", "--state", dir.string()}).code, 0);
  CAF_CHECK_EQUAL(served, 2);
  CAF_CHECK_EQUAL(console, "127.0.0.1:0");
  set("HP_TIMEOUT_CLIENT", "fast");
  set("HP_SHARED_KEY", canary);
  auto refused = run({"serve"});
  CAF_CHECK_EQUAL(refused.code, 1);
  CAF_CHECK_EQUAL(served, 2);
  CAF_CHECK(has(refused.err, "HP_TIMEOUT_CLIENT"));
  CAF_CHECK(has(refused.err, "NC_INSTANCE_URL"));
  CAF_CHECK(!has(refused.err, canary));
}

CAF_TEST(passes_on_the_exit_code_of_serve) {
  hooks.serve = [](const config&) { return 1; };
  CAF_CHECK_EQUAL(run({"serve"}).code, 1);
}

CAF_TEST(exits_with_three_when_there_is_no_daemon) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"status"},
                                                {"health"},
                                                {"tunnels"},
                                                {"bans", "ls"},
                                                {"bans", "lift", "--all"},
                                                {"config", "diff"}}) {
    auto result = run(words);
    CAF_CHECK_EQUAL(result.code, 3);
    CAF_CHECK(has(result.err, dir.string()));
  }
  std::string gone;
  { gone = fake_admin{{}}.address(); }
  daemon_at(gone);
  CAF_CHECK_EQUAL(run({"health"}).code, 3);
  auto json = nlohmann::json::parse(run({"status", "--json"}).out);
  CAF_CHECK(has(json["error"].get<std::string>(), gone));
  file("run.json", "{\"console\":");
  CAF_CHECK_EQUAL(run({"status"}).code, 3);
}

CAF_TEST(tells_health_by_exit_code) {
  fake_admin ready{{{"GET /readyz?verbose", fake_admin::answer(200, "{\"ready\":true}")}}};
  daemon_at(ready.address());
  auto good = run({"health"});
  CAF_CHECK_EQUAL(good.code, 0);
  CAF_CHECK_EQUAL(good.out, "ready  true\n");
  fake_admin draining{{{"GET /readyz?verbose", fake_admin::answer(503, "{\"ready\":false}")}}};
  daemon_at(draining.address());
  CAF_CHECK_EQUAL(run({"health"}).code, 1);
  fake_admin odd{{{"GET /readyz?verbose", fake_admin::answer(500, "")}}};
  daemon_at(odd.address());
  CAF_CHECK_EQUAL(run({"health"}).code, 1);
}

CAF_TEST(shows_status_raw_or_readable_and_sends_the_token) {
  const std::string body = R"({"version":"0.5.0","listeners":{"exapps":"127.0.0.1:1"},"tunnels":)"
                           R"([{"name":"sample","port":23000},{"name":"x\u202ey","port":7}]})";
  fake_admin daemon{{{"GET /api/status", fake_admin::answer(200, body)}}};
  daemon_at(daemon.address());
  CAF_CHECK_EQUAL(run({"status", "--json"}).out, body + "\n");
  auto text = run({"status"});
  CAF_CHECK_EQUAL(text.code, 0);
  CAF_CHECK_EQUAL(text.out,
                  "version  0.5.0\nlisteners\n  exapps  127.0.0.1:1\ntunnels\n  name      port\n"
                  "  sample    23000\n  x\\u202ey  7\n");
  CAF_CHECK(has(run({"tunnels"}).out, "sample"));
  for (const auto& head : daemon.requests()) {
    CAF_CHECK(has(head, "\r\nAuthorization: Bearer t0ken\r\n"));
    CAF_CHECK(has(head, "\r\nHost: " + daemon.address() + "\r\n"));
  }
}

CAF_TEST(reports_a_daemon_that_refuses_or_talks_nonsense) {
  for (const auto& answer :
       {fake_admin::answer(401, "{}"), fake_admin::answer(500, "{}"), std::string{"hello"},
        std::string{}, std::string{"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}"},
        std::string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"},
        std::string{"HTTP/1.1 abc\r\n\r\n"}}) {
    fake_admin daemon{{{"GET /api/status", answer}}};
    daemon_at(daemon.address());
    auto result = run({"status"});
    CAF_CHECK_EQUAL(result.code, 1);
    CAF_CHECK(!result.err.empty());
    CAF_CHECK(!has(result.err + result.out, "t0ken"));
    CAF_CHECK_EQUAL(result.out, "");
  }
}

CAF_TEST(reads_chunked_answers) {
  fake_admin daemon{
      {{"GET /api/bans",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n[1,2\r\n1\r\n]\r\n"
        "0\r\n\r\n"}}};
  daemon_at(daemon.address());
  CAF_CHECK_EQUAL(run({"bans", "ls", "--json"}).out, "[1,2]\n");
}

CAF_TEST(gives_up_on_a_silent_daemon) {
  fake_admin daemon{{{"GET /x", "(silence)"}}};
  auto answer = ask_admin(daemon.address(), "", "GET", "/x", std::chrono::milliseconds{50});
  CAF_CHECK_EQUAL(answer.status, 0);
  CAF_CHECK(!answer.reachable);
  CAF_CHECK(!has(daemon.requests().at(0), "Authorization"));
}

CAF_TEST(refuses_an_unusable_console_address) {
  for (const char* address :
       {"", "127.0.0.1", "127.0.0.1:0", "name:80", "127.0.0.1:99999", "127.0.0.1:8x"})
    CAF_CHECK(!ask_admin(address, "", "GET", "/").reachable);
}

CAF_TEST(lifts_bans) {
  fake_admin daemon{{{"DELETE /api/bans/192.0.2.1", fake_admin::answer(200, "{\"lifted\":1}")},
                     {"DELETE /api/bans/2001:db8::", "HTTP/1.1 204 No Content\r\n\r\n"},
                     {"DELETE /api/bans", fake_admin::answer(200, "{\"lifted\":3}")},
                     {"GET /api/bans", fake_admin::answer(200, "{\"bans\":[]}")}}};
  daemon_at(daemon.address());
  CAF_CHECK_EQUAL(run({"bans", "lift", "192.0.2.1"}).code, 0);
  CAF_CHECK_EQUAL(run({"bans", "lift", "::ffff:192.0.2.1"}).code, 0);
  CAF_CHECK_EQUAL(run({"bans", "lift", "2001:db8::/64"}).code, 0);
  CAF_CHECK_EQUAL(run({"bans", "lift", "--all", "--json"}).out, "{\"lifted\":3}\n");
  CAF_CHECK_EQUAL(run({"bans", "ls"}).out, "bans  none\n");
  auto missing = run({"bans", "lift", "192.0.2.9"});
  CAF_CHECK_EQUAL(missing.code, 1);
  CAF_CHECK(has(missing.err, "is not banned"));
}

CAF_TEST(compares_the_running_configuration) {
  auto running = run({"config", "show", "--json"}).out;
  fake_admin daemon{{{"GET /api/config", fake_admin::answer(200, running)}}};
  daemon_at(daemon.address());
  auto same = run({"config", "diff"});
  CAF_CHECK_EQUAL(same.code, 0);
  CAF_CHECK_EQUAL(same.out, "no difference\n");
  set("HARP_THREADS", "2");
  auto differs = run({"config", "diff"});
  CAF_CHECK_EQUAL(differs.code, 1);
  CAF_CHECK_EQUAL(differs.out, "threads\n  running: 0\n  files:   2\n");
}

CAF_TEST(makes_json_readable_whatever_it_is) {
  CAF_CHECK_EQUAL(readable("not\x1b json\nat all"), "not\\x1b json\nat all\n");
  CAF_CHECK_EQUAL(readable("{\"a\":[1,2],\"b\":{},\"c\":null}"), "a  1, 2\nb  none\nc  none\n");
  std::string deep;
  for (int i = 0; i < 100; ++i)
    deep += "{\"a\":";
  deep += "1" + std::string(100, '}');
  CAF_CHECK(!readable(deep).empty());
}

CAF_TEST_FIXTURE_SCOPE_END()
