// Harp's frp client and Harp's tunnel server beside each other, over loopback.
#pragma once

#include "net/certs.hpp"
#include "net/frp_client.hpp"
#include "net/listener.hpp"
#include "net/socket_stream.hpp"
#include "tests/net/frp_world.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_future.hpp>

#include <condition_variable>
#include <filesystem>
#include <future>

namespace frp_client_world {

using namespace frp_world;
namespace fs = std::filesystem;

/// A directory that goes with its test.
struct scratch {
  scratch() {
    std::string form = (fs::temp_directory_path() / "harp-frp-XXXXXX").string();
    CAF_REQUIRE(::mkdtemp(form.data()) != nullptr);
    path = form;
  }
  ~scratch() { fs::remove_all(path); }
  std::string path;
};

/// The fake gate behind a mutex, with something to wait on.
class waiting_gate final : public frp_gate {
public:
  bool admit(const harp::ip_address&) override { return true; }
  asio::awaitable<frp_login_answer> login(frp_login asked) override {
    frp_login_answer answer;
    if (asked.token != "secret")
      answer.error = "wrong token";
    answer.run_id = asked.run_id.empty() ? "0123456789abcdef" : asked.run_id;
    const std::lock_guard lock{mutex_};
    run_ids_.push_back(asked.run_id);
    changed_.notify_all();
    co_return answer;
  }
  asio::awaitable<frp_claim_answer> claim(uint64_t, frp_proxy asked) override {
    frp_claim_answer answer;
    answer.port = asked.remote_port;
    const std::lock_guard lock{mutex_};
    ++claims_;
    if (claims_ <= refusals)
      answer.error = "port already used";
    co_return answer;
  }
  void running(uint64_t session, std::string name) override {
    const std::lock_guard lock{mutex_};
    session_ = session;
    ++runs_;
    name_ = std::move(name);
    changed_.notify_all();
  }
  void release(uint64_t, std::string) override {}
  void closed(uint64_t, std::string) override {
    const std::lock_guard lock{mutex_};
    ++ends_;
    changed_.notify_all();
  }

  bool wait_runs(int count) {
    return wait([&] { return runs_ >= count; });
  }
  bool wait_logins(size_t count) {
    return wait([&] { return run_ids_.size() >= count; });
  }
  bool wait_ends(int count) {
    return wait([&] { return ends_ >= count; });
  }
  uint64_t session() {
    const std::lock_guard lock{mutex_};
    return session_;
  }
  std::string name() {
    const std::lock_guard lock{mutex_};
    return name_;
  }
  std::string run_id(size_t at) {
    const std::lock_guard lock{mutex_};
    return run_ids_.at(at);
  }
  int refusals = 0;

private:
  bool wait(const std::function<bool()>& done) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 10s, done);
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t session_ = 0;
  int runs_ = 0, ends_ = 0, claims_ = 0;
  std::vector<std::string> run_ids_;
  std::string name_;
};

inline asio::awaitable<void> echo(generic_socket socket) {
  const auto peer = make_socket_stream(std::move(socket));
  std::array<char, 4096> part{};
  for (;;) {
    const io_result got = co_await read_some(*peer, part);
    if (got.status != io_status::ok)
      co_return;
    const bool written = co_await write_all(*peer, {part.data(), got.bytes});
    if (!written)
      co_return;
  }
}

struct options {
  bool mux = true, encryption = false, compression = false;
  unsigned pool = 1, proxy_protocol = 0;
  std::string token = "secret", user;
  std::string certs; // empty: no TLS
  std::string local; // empty: the echo service
  int refusals = 0;
};

inline std::shared_ptr<tls_context> context(const std::string& dir, bool server) {
  tls_settings with;
  with.certificate_file = dir + (server ? "/server.crt" : "/client.crt");
  with.key_file = dir + (server ? "/server.key" : "/client.key");
  with.ca_file = dir + "/ca.crt";
  with.require_peer_certificate = server;
  auto made = server ? tls_context::server(with) : tls_context::client(with);
  CAF_REQUIRE(std::holds_alternative<std::shared_ptr<tls_context>>(made));
  return std::get<std::shared_ptr<tls_context>>(made);
}

/// Server, client and service on two loops.
struct pair_of_nodes {
  explicit pair_of_nodes(const options& with) {
    gate.refusals = with.refusals;
    frp_server_settings settings = quick_settings();
    if (!with.certs.empty()) {
      settings.tls = context(with.certs, true);
      settings.tls_required = true;
    }
    server = std::make_unique<frp_server>(settings, gate, table);
    front = listen([this](loop& on, generic_socket socket, harp::ip_address peer, uint16_t port) {
      return server->serve(on, std::move(socket), peer, port);
    });
    service = listen([](loop&, generic_socket socket, harp::ip_address, uint16_t) {
      return echo(std::move(socket));
    });
    loops.start();
    frp_client_settings ours;
    ours.host = "127.0.0.1";
    ours.port = front->port();
    ours.token = with.token;
    ours.user = with.user;
    ours.mux = with.mux;
    ours.pool_count = with.pool;
    ours.refused_pause = 1ms;
    ours.server_name = "harp.nc";
    if (!with.certs.empty())
      ours.tls = context(with.certs, false);
    exposed what;
    what.name = "app";
    what.remote_port = 23'001;
    what.use_encryption = with.encryption;
    what.use_compression = with.compression;
    what.proxy_protocol = with.proxy_protocol;
    what.local = with.local.empty() ? "127.0.0.1:" + std::to_string(service->port()) : with.local;
    ours.proxies.push_back(what);
    client = std::make_shared<frp_client>(loops.at(0), ours);
    ended = asio::co_spawn(loops.at(0).executor(), client->run(), asio::use_future);
  }

  ~pair_of_nodes() {
    client->stop();
    CAF_CHECK(ended.wait_for(10s) == std::future_status::ready);
    for (const auto& session : table.all())
      session->close("test over");
    front->stop();
    service->stop();
    loops.stop();
  }

  std::shared_ptr<listener> listen(connection_handler handler) {
    auto made = listener::open(loops, "127.0.0.1", 0, false);
    CAF_REQUIRE(std::holds_alternative<std::shared_ptr<listener>>(made));
    auto out = std::get<std::shared_ptr<listener>>(made);
    out->start(std::move(handler), std::make_shared<connection_slots>(100), "test");
    return out;
  }

  /// One user on loop `at`: writes `text`, reads as much; empty when no stream came.
  std::future<std::string> exchange(std::string text, size_t at = 1, size_t expected = 0) {
    return asio::co_spawn(loops.at(at).executor(), user(*this, std::move(text), expected),
                          asio::use_future);
  }

  /// Writes beside the reader; owns a share of the stream, so that neither outlives it.
  static asio::awaitable<void> feed(std::shared_ptr<stream> to, std::string text) {
    co_await write_all(*to, text);
  }

  static asio::awaitable<std::string> user(pair_of_nodes& in, std::string text, size_t expected) {
    const auto session = in.table.find(in.gate.session());
    if (!session)
      co_return "no session";
    work_user who;
    who.src_address = "192.0.2.7";
    who.dst_address = "192.0.2.1";
    who.src_port = 5'555;
    who.dst_port = 43'001;
    const std::string name = in.gate.name();
    work_stream got = co_await session->open(name, who, 5'000ms);
    if (!got.stream)
      co_return got.error == work_error::no_stream ? "no stream" : "no tunnel";
    const std::shared_ptr<stream> work{std::move(got.stream)};
    const auto here = co_await asio::this_coro::executor;
    launch(here, feed(work, text), "feed");
    std::string out;
    std::array<char, 10'000> part{};
    const size_t want = expected > 0 ? expected : text.size();
    while (out.size() < want) {
      const io_result read = co_await read_some(*work, part);
      if (read.status != io_status::ok)
        break;
      out.append(part.data(), read.bytes);
    }
    work->cancel(); // the feeder may still wait when the stream broke
    co_return out;
  }

  runtime loops{2};
  waiting_gate gate;
  tunnel_table table;
  std::unique_ptr<frp_server> server;
  std::shared_ptr<listener> front, service;
  std::shared_ptr<frp_client> client;
  std::future<void> ended;
};

inline std::string some_text(size_t bytes) {
  std::string out;
  for (size_t i = 0; i < bytes; ++i)
    out += static_cast<char>(i * i % 251);
  return out;
}

inline void check_round_trips(const options& with) {
  pair_of_nodes in{with};
  CAF_REQUIRE(in.gate.wait_runs(1));
  const std::string text = some_text(300'000);
  std::vector<std::future<std::string>> users;
  for (size_t i = 0; i < 12; ++i)
    users.push_back(in.exchange(text, i));
  for (auto& one : users) {
    CAF_REQUIRE(one.wait_for(20s) == std::future_status::ready);
    CAF_CHECK(one.get() == text);
  }
}

} // namespace frp_client_world
