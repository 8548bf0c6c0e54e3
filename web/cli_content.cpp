// cat, get, put and `status --wait`: commands that last, with progress on a terminal and JSON lines with --json.
#include "net/visible_text.hpp"
#include "web/admin_client.hpp"
#include "web/cli_storage.hpp"
#include "web/config_values.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>
#include <unistd.h>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;
using steady = std::chrono::steady_clock;

constexpr std::chrono::milliseconds progress_interval{500};
constexpr std::chrono::milliseconds pending_poll_interval{200};

std::string in_mib(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", bytes / (1024 * 1024));
  return text;
}

/// Tells how far a transfer is, at most twice a second: a line that rewrites itself, or JSON lines.
class progress {
public:
  progress(const cli_call& call, uint64_t total) : call_(call), total_(total) {}
  void at(uint64_t bytes, bool last = false) {
    auto now = steady::now();
    if (!last && now - told_ < progress_interval)
      return;
    told_ = now;
    double seconds = std::max(std::chrono::duration<double>(now - began_).count(), 0.001);
    double rate = static_cast<double>(bytes) / seconds;
    double left = rate > 0 && total_ > bytes ? static_cast<double>(total_ - bytes) / rate : 0;
    if (call_.settings.json)
      call_.world.err << json{{"bytes", bytes}, {"total", total_}, {"bytes_per_second", static_cast<uint64_t>(rate)}, {"seconds_left", static_cast<uint64_t>(left)}}.dump() << "\n";
    else if (call_.world.terminal)
      call_.world.err << "\r" << in_mib(static_cast<double>(bytes)) << " of " << in_mib(static_cast<double>(total_)) << ", " << in_mib(rate) << "/s, "
                      << static_cast<uint64_t>(left) << " s left   " << (last ? "\n" : "") << std::flush;
  }

private:
  const cli_call& call_;
  uint64_t total_;
  steady::time_point began_ = steady::now();
  steady::time_point told_{};
};

int tell(const cli_call& call, const std::string& error) {
  std::string shown;
  net::append_visible(shown, error);
  call.world.err << "harp: " << shown << "\n";
  return exit_problem;
}

/// What the daemon said of a content that it could not give or take, else that it said nothing.
int tell_failure(const cli_call& call, const admin_answer& answer) {
  auto told = json::parse(answer.body, nullptr, false);
  if (!told.is_object() || !told.contains("error") || !told["error"].is_string() || answer.status == 401)
    return report_failure(answer, node_directories(call.sources).first, call);
  auto next = told.contains("next") && told["next"].is_string() ? told["next"].get<std::string>() : std::string{};
  return tell(call, told["error"].get<std::string>() + (next.empty() ? "" : "; next: " + next));
}

std::string absolute(const std::string& path) {
  std::error_code error;
  auto full = std::filesystem::absolute(path, error);
  return error ? path : full.lexically_normal().string();
}

/// Reads a file of a space piece by piece; each piece is there as soon as it has arrived and was verified.
int read_content(const cli_call& call, std::ostream& out) {
  const auto& w = call.settings.storage;
  int code = exit_fine;
  auto opened = storage_call(call, "open", json{{"path", w.path}, {"absolute", absolute(w.path)}}, code);
  if (code != exit_fine)
    return code;
  auto facts = json::parse(opened, nullptr, false);
  if (!facts.is_object() || !facts.contains("size") || !facts.contains("handle"))
    return tell(call, "the daemon's answer makes no sense; is it another version?");
  auto size = facts["size"].get<uint64_t>();
  progress shown{call, size};
  auto state = node_directories(call.sources).first;
  for (uint64_t at = 0; at < size;) {
    auto want = std::min<uint64_t>(content_piece_bytes, size - at);
    auto answer = ask_daemon(state, "GET", "/api/content?handle=" + facts["handle"].get<std::string>() + "&offset=" + std::to_string(at) + "&length=" + std::to_string(want), {}, storage_call_limit);
    if (answer.status != 200 || answer.body.empty())
      return tell_failure(call, answer);
    out.write(answer.body.data(), static_cast<std::streamsize>(answer.body.size()));
    if (!out.flush())
      return tell(call, "the output cannot be written");
    at += answer.body.size();
    shown.at(at, at >= size);
  }
  return exit_fine;
}

int get_file(const cli_call& call) {
  const auto& w = call.settings.storage;
  auto target = w.target;
  if (target.empty())
    target = w.path.substr(w.path.find_last_of("/:") + 1);
  if (target.empty() || target == "." || target == "..")
    return tell(call, "no file name in " + w.path + "; say where with --to FILE");
  auto part = target + ".part-" + std::to_string(getpid());
  std::ofstream out{part, std::ios::binary | std::ios::trunc};
  if (!out)
    return tell(call, part + " cannot be written");
  int code = read_content(call, out);
  out.close();
  std::error_code error;
  if (code == exit_fine && !out)
    code = tell(call, part + " cannot be written");
  if (code == exit_fine)
    std::filesystem::rename(part, target, error);
  else
    std::filesystem::remove(part, error);
  return code == exit_fine && error ? tell(call, target + ": " + error.message()) : code;
}

int put_file(const cli_call& call) {
  const auto& w = call.settings.storage;
  std::ifstream file;
  bool from_input = w.target == "-";
  if (!from_input)
    file.open(w.target, std::ios::binary);
  if (!from_input && !file)
    return tell(call, w.target + " cannot be read");
  std::istream& in = from_input ? std::cin : file;
  int code = exit_fine;
  auto opened = storage_call(call, "put_begin", json{{"path", w.path}, {"absolute", absolute(w.path)}, {"name", std::filesystem::path{w.target}.filename().string()}}, code);
  if (code != exit_fine)
    return code;
  auto facts = json::parse(opened, nullptr, false);
  auto handle = facts.is_object() ? facts.value("handle", "") : std::string{};
  std::error_code error;
  auto size = from_input ? 0 : std::filesystem::file_size(w.target, error);
  progress shown{call, error ? 0 : size};
  auto state = node_directories(call.sources).first;
  std::string piece(content_piece_bytes, '\0');
  uint64_t at = 0;
  for (;;) {
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    auto got = static_cast<size_t>(in.gcount());
    if (got == 0)
      break;
    auto answer = ask_daemon(state, "POST", "/api/content?handle=" + handle + "&offset=" + std::to_string(at), piece.substr(0, got), storage_call_limit);
    if (answer.status != 200)
      return tell_failure(call, answer);
    at += got;
    shown.at(at);
  }
  shown.at(at, true);
  auto done = storage_call(call, "put_end", json{{"handle", handle}, {"size", at}}, code);
  if (code == exit_fine)
    call.world.out << (call.settings.json ? done : readable(done));
  return code;
}

/// Pending items of all spaces, or nothing when the status has none.
std::optional<uint64_t> pending_in(const json& status) {
  if (!status.is_object() || !status.contains("spaces"))
    return std::nullopt;
  uint64_t total = 0;
  for (const auto& space : status["spaces"])
    total += space.value("pending", uint64_t{0});
  return total;
}

} // namespace

int run_content(const cli_call& call, const std::string& words) {
  if (words == "cat")
    return read_content(call, call.world.out);
  return words == "get" ? get_file(call) : put_file(call);
}

int wait_until_settled(const cli_call& call) {
  auto until = steady::now() + std::chrono::seconds{call.settings.storage.seconds};
  auto state = node_directories(call.sources).first;
  auto told = steady::time_point{};
  for (;;) {
    auto answer = ask_daemon(state, "GET", "/api/status", {}, admin_limit);
    if (answer.status != 200)
      return report_failure(answer, state, call);
    auto status = json::parse(answer.body, nullptr, false);
    auto pending = pending_in(status);
    if (!pending)
      return tell(call, "this node holds no space");
    if (steady::now() - told >= progress_interval) {
      told = steady::now();
      if (call.settings.json)
        call.world.err << json{{"pending", *pending}}.dump() << "\n";
      else if (call.world.terminal)
        call.world.err << "\r" << *pending << " pending   " << std::flush;
    }
    if (*pending == 0) {
      call.world.out << (call.settings.json ? answer.body : readable(answer.body));
      return exit_fine;
    }
    if (call.settings.storage.seconds > 0 && steady::now() >= until)
      return tell(call, std::to_string(*pending) + " items are still pending; `harp status` names what each waits for");
    std::this_thread::sleep_for(pending_poll_interval);
  }
}

} // namespace harp::web
