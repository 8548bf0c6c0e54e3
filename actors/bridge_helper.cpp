#include "actors/bridge_helper.hpp"

#include "actors/helper_rules.hpp"
#include "net/dialer.hpp"
#include "net/http_exchange.hpp"
#include "net/log.hpp"
#include "net/passed_socket.hpp"
#include "net/runtime.hpp"
#include "net/socket_stream.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace harp {

namespace {

namespace asio = net::asio;
using net::log_level;

constexpr net::milliseconds connect_limit{5'000};
constexpr net::seconds question_limit{30}; // until a question is here as a whole
constexpr int exec_failed = 127;

// -- the node --------------------------------------------------------------------------------------

/// Becomes the user with its own groups only; words when that fails.
std::string become(const std::string& user) {
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr)
    return "there is no user " + user;
  if (::initgroups(user.c_str(), entry->pw_gid) != 0 || ::setgid(entry->pw_gid) != 0
      || ::setuid(entry->pw_uid) != 0)
    return "this process may not become " + user + ": " + std::strerror(errno);
  return {};
}

/// Never returns. Between fork and exec of a process with one thread.
[[noreturn]] void become_node(const web::helper_options& options, int control) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (auto fault = options.user.empty() ? std::string{} : become(options.user); !fault.empty()) {
    net::log(log_level::error, "HARP-E041", "engine", "the node cannot be started",
             {{"cause", fault}, {"next", "run the helper as root, or without --user"}});
    ::_exit(web::exit_problem);
  }
  ::setenv("HARP_ENGINES_HELPER", std::to_string(control).c_str(), 1);
  ::setenv("HARP_ENGINES_LOCAL", options.socket.c_str(), 1);
  auto command = options.command;
  if (command.empty())
    command = {"/proc/self/exe", "serve"};
  std::vector<char*> words;
  for (auto& word : command)
    words.push_back(word.data());
  words.push_back(nullptr);
  ::execvp(words.front(), words.data());
  ::_exit(exec_failed);
}

// -- what this process gives up ----------------------------------------------------------------------

/// From here on: no socket but unix ones, no new program, no other process's memory. False: this
/// system cannot promise it.
bool give_up_rights() {
#if defined(__x86_64__)
  constexpr uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
  constexpr uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
  constexpr uint32_t architecture = 0;
#endif
  constexpr uint32_t refuse = SECCOMP_RET_ERRNO | EPERM;
  constexpr uint32_t other_abi = 0x40000000; // x32
  auto load = [](size_t at) {
    return sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<uint32_t>(at)};
  };
  auto give = [](uint32_t what) { return sock_filter{BPF_RET | BPF_K, 0, 0, what}; };
  auto is = [](uint32_t value, uint8_t yes, uint8_t no) {
    return sock_filter{BPF_JMP | BPF_JEQ | BPF_K, yes, no, value};
  };
  std::vector<sock_filter> filter{load(offsetof(seccomp_data, arch)),
                                  is(architecture, 1, 0),
                                  give(refuse),
                                  load(offsetof(seccomp_data, nr)),
                                  sock_filter{BPF_JMP | BPF_JGE | BPF_K, 0, 1, other_abi},
                                  give(refuse)};
  for (long call :
       {SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_writev, SYS_io_uring_setup}) {
    filter.push_back(is(static_cast<uint32_t>(call), 0, 1));
    filter.push_back(give(refuse));
  }
  filter.push_back(is(SYS_socket, 0, 3));
  filter.push_back(load(offsetof(seccomp_data, args)));
  filter.push_back(is(AF_UNIX, 1, 0));
  filter.push_back(give(refuse));
  filter.push_back(give(SECCOMP_RET_ALLOW));
  sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  ::unshare(CLONE_NEWNET); // where it may; abstract unix sockets are out of reach then as well
  return architecture != 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
         && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// -- questions ---------------------------------------------------------------------------------------

struct helper {
  net::loop& on;
  net::dialer& dialer;
  const std::string& socket;
  const bind_policy& policy;
  size_t busy = 0;
};

/// One request of the node's, kept as long as its views.
struct question {
  std::vector<char> bytes;
  net::request_head head;
  std::string body;
};

asio::awaitable<bool> read_head(net::stream& from, question& into, size_t& used, size_t& filled) {
  size_t searched = 0;
  into.bytes.resize(net::head_bytes_max);
  for (;;) {
    auto got
        = co_await net::read_some(from, {into.bytes.data() + filled, into.bytes.size() - filled});
    if (got.status != net::io_status::ok)
      co_return false;
    filled += got.bytes;
    auto parsed = net::parse_request_head(into.bytes.data(), filled, searched, into.head);
    used = parsed.bytes;
    if (parsed.status == net::parse_status::done)
      co_return true;
    if (parsed.status == net::parse_status::bad || filled == into.bytes.size())
      co_return false;
  }
}

asio::awaitable<bool> read_question(net::stream& from, question& into) {
  size_t used = 0;
  size_t filled = 0;
  if (!co_await read_head(from, into, used, filled))
    co_return false;
  net::body_reader body{
      from, into.head.body, into.head.content_length, {into.bytes.data() + used, filled - used}};
  std::vector<char> space(net::exchange_buffer_bytes);
  for (;;) {
    std::string_view piece;
    auto step = body.try_next(space, piece);
    if (step == net::body_reader::result::end)
      co_return true;
    if (step == net::body_reader::result::failed
        || into.body.size() + piece.size() > helper_body_bytes_max)
      co_return false;
    into.body += piece;
    if (step == net::body_reader::result::again && !co_await from.wait_readable())
      co_return false;
  }
}

asio::awaitable<void> answer(net::stream& to, int status, std::string text) {
  auto bytes = "HTTP/1.1 " + std::to_string(status)
               + " Refused\r\ncontent-type: application/json\r\nconnection: close\r\n"
               + "content-length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
  co_await net::write_all(to, bytes);
}

std::string words_of(const engine_request& request) {
  std::string out = request.method + " " + request.target
                    + " HTTP/1.1\r\nhost: docker\r\nconnection: close\r\n";
  if (!request.body.empty())
    out += "content-type: " + request.content_type + "\r\n";
  if (!request.body.empty() || request.method != "GET")
    out += "content-length: " + std::to_string(request.body.size()) + "\r\n";
  return out + "\r\n";
}

/// The engine's answer as it comes, until it ends or the node goes away.
asio::awaitable<void> relay_answer(net::loop& on, net::stream& from, net::stream& to) {
  net::deadline watch{on, [] {}};
  watch.on_tick = [&from, &to] {
    if (to.peer_gone())
      from.cancel();
  };
  std::vector<char> space(net::exchange_buffer_bytes);
  for (;;) {
    auto got = co_await net::read_some(from, space);
    if (got.status != net::io_status::ok)
      break;
    std::string_view piece{space.data(), got.bytes};
    bool written = co_await net::write_all(to, piece);
    if (!written)
      break;
  }
  to.shutdown_write();
}

asio::awaitable<void> serve(helper& self, net::stream_ptr with) {
  question asked;
  net::stream* raw = with.get();
  net::deadline timer{self.on, [raw] { raw->cancel(); }};
  timer.in(question_limit);
  bool here = co_await read_question(*with, asked);
  timer.off();
  if (!here)
    co_return;
  helper_question parts{asked.head.method, asked.head.path, asked.head.query, asked.body};
  auto allowed = judge_helper_question(parts, self.policy);
  if (!allowed) {
    net::log(
        log_level::warn, "HARP-E042", "engine", "the node asked for what no ExApp needs: refused",
        {{"method", std::string{asked.head.method}},
         {"cause", "it is not one of the calls for ExApps, or its document is not one Harp builds"},
         {"next", "look for what went wrong in the node: this should not happen"}});
    co_await answer(*with, 403, R"({"message":"the engine helper refuses this call"})");
    co_return;
  }
  auto dialled = co_await self.dialer.unix_socket(self.socket, connect_limit);
  if (!dialled.stream)
    co_return; // the end of the connection tells the node that nobody is there
  auto words = words_of(*allowed);
  bool sent = co_await net::write_all(*dialled.stream, words, allowed->body);
  if (sent)
    co_await relay_answer(self.on, *dialled.stream, *with);
}

asio::awaitable<void> serve_one(helper& self, net::owned_descriptor end) {
  ++self.busy;
  asio::generic::stream_protocol::socket socket{self.on.io()};
  socket.assign(asio::generic::stream_protocol{AF_UNIX, 0}, end.release());
  auto with = net::make_socket_stream(std::move(socket));
  co_await serve(self, std::move(with));
  --self.busy;
}

asio::awaitable<void> take_connections(helper& self, net::owned_descriptor control) {
  asio::posix::stream_descriptor waiting{self.on.io(), control.get()};
  control.release(); // `waiting` closes it
  for (;;) {
    auto [error]
        = co_await waiting.async_wait(asio::posix::stream_descriptor::wait_read, net::nothrow);
    bool ended = false;
    auto end = net::receive_descriptor(waiting.native_handle(), ended);
    if (error || ended)
      co_return; // the node has ended
    if (end.open() && self.busy < helper_connections_max)
      net::launch(self.on.executor(), serve_one(self, std::move(end)),
                  "a question to the engine helper");
  }
}

asio::awaitable<void> pass_signals(net::loop& on, pid_t node, std::atomic<int>& status) {
  asio::signal_set signals{on.io(), SIGTERM, SIGINT, SIGCHLD};
  signals.add(SIGUSR1);
  signals.add(SIGHUP);
  for (;;) {
    int told = 0;
    if (::waitpid(node, &told, WNOHANG) == node) {
      status = WIFEXITED(told) ? WEXITSTATUS(told) : 128 + WTERMSIG(told);
      status.notify_all();
      co_return;
    }
    auto [error, number] = co_await signals.async_wait(net::nothrow);
    if (error)
      co_return;
    if (number != SIGCHLD)
      ::kill(node, number);
  }
}

} // namespace

int run_engine_helper(const bind_policy& policy, const web::helper_options& options) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0)
    return web::exit_problem;
  net::owned_descriptor ours{ends[0]};
  net::owned_descriptor theirs{ends[1]};
  pid_t node = ::fork();
  if (node < 0)
    return web::exit_problem;
  if (node == 0) {
    ours = net::owned_descriptor{};
    become_node(options, theirs.get());
  }
  theirs = net::owned_descriptor{};
  if (!give_up_rights())
    net::log(log_level::warn, "HARP-E040", "engine",
             "the engine helper keeps rights that it does not need",
             {{"cause", "this system has no seccomp filters"},
              {"next", "nothing: its rules hold all the same"}});
  net::runtime loops{1};
  loops.start();
  auto& on = loops.at(0);
  net::dialer dialer{on};
  helper self{on, dialer, options.socket, policy, 0};
  std::atomic<int> status{-1};
  net::launch(on.executor(), take_connections(self, std::move(ours)),
              "connections to the engine helper");
  net::launch(on.executor(), pass_signals(on, node, status), "signals of the engine helper");
  status.wait(-1);
  loops.stop();
  loops.drop_handlers();
  return status;
}

} // namespace harp
