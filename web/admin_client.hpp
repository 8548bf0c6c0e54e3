// The CLI's way to the running daemon: one blocking HTTP request to its console listener, found
// through the state directory.
#pragma once

#include <chrono>
#include <string>

namespace harp::web {

struct cli_call;

inline constexpr std::chrono::seconds admin_limit{5}; // of a whole request
inline constexpr std::chrono::minutes storage_call_limit{30}; // verify and join may take long
inline constexpr size_t admin_answer_bytes_max = 16 * 1024 * 1024;
inline constexpr size_t content_piece_bytes = 1024 * 1024; // of a file, per request

struct admin_answer {
  int status = 0; // 0: no answer; `error` says why
  std::string body;
  std::string error;
  bool reachable = true; // false: nobody listens, or there is no daemon in this state directory
};

/// Asks the daemon whose STATE/run.json names its console, with STATE/cli.token as bearer token
/// when that can be read.
admin_answer ask_daemon(const std::string& state_dir, const std::string& method,
                        const std::string& path, const std::string& body = {},
                        std::chrono::milliseconds limit = admin_limit);

/// The same for a known address `HOST:PORT` (IPv6 in brackets); `token` may be empty.
admin_answer ask_admin(const std::string& address, const std::string& token,
                       const std::string& method, const std::string& path,
                       std::chrono::milliseconds limit = admin_limit,
                       const std::string& body = {});

/// Tells on err (or as JSON) why there was no usable answer; returns the exit code, 3 when the
/// daemon was not reachable.
int report_failure(const admin_answer& answer, const std::string& state_dir, const cli_call& call);

} // namespace harp::web
