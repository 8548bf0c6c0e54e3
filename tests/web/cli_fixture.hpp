// Runs command lines in a state directory of their own and keeps what they print.
#pragma once

#include "tests/web/config_fixture.hpp"
#include "web/cli.hpp"

#include <sstream>

namespace harp::web {

inline constexpr auto canary = "c4naryS3cretValue";

struct ran {
  int code = -1;
  std::string out, err;
};

struct cli_fixture : config_fixture {
  cli_hooks hooks;

  ran run(const std::vector<std::string>& words) {
    std::ostringstream out;
    std::ostringstream err;
    ran result;
    result.code = run_cli(words, hooks, {sources.environment, out, err, false});
    result.out = out.str();
    result.err = err.str();
    return result;
  }

  void daemon_at(const std::string& address) {
    file("run.json", R"({"console":")" + address + R"(","pid":1})");
    file("cli.token", "t0ken\n");
  }

  std::vector<std::string> expose_words(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words{"expose",   "sample",         "--port",
                                   "23000",    "--to",           "unix:/run/s.sock",
                                   "--server", "127.0.0.1:8782", "--no-tls"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace harp::web
