// A TLS connection over a wire that the test holds in its hands, and certificates for all tests.
#pragma once

#include "net/certs.hpp"
#include "net/tls.hpp"
#include "net/waiter.hpp"
#include "net/x509.hpp"

#include <caf/test/unit_test.hpp>
#include <openssl/ssl.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

namespace tls_world {

using namespace harp::net;
using std::chrono_literals::operator""s;
namespace fs = std::filesystem;

/// One direction of the wire.
struct lane {
  std::string bytes;
  size_t capacity = 1u << 20;    // bytes that may lie on the wire
  size_t let_through = SIZE_MAX; // bytes that the reader may still get
  bool ended = false;
  size_t writes = 0;
  waiter reader, writer;
};

/// One end of a wire in memory.
class wire_end final : public stream {
public:
  wire_end(std::shared_ptr<lane> in, std::shared_ptr<lane> out)
      : in_(std::move(in)), out_(std::move(out)) {}
  ~wire_end() override { close(false); }
  using stream::try_write;

  io_result try_read(std::span<char> into) override {
    size_t size = std::min({into.size(), in_->bytes.size(), in_->let_through});
    if (size == 0)
      return {in_->ended && in_->bytes.empty() ? io_status::eof : io_status::again, 0};
    std::copy_n(in_->bytes.begin(), size, into.begin());
    in_->bytes.erase(0, size);
    in_->let_through -= in_->let_through == SIZE_MAX ? 0 : size;
    in_->writer.resume(true);
    return {io_status::ok, size};
  }
  io_result try_write(std::string_view head, std::string_view body) override {
    if (out_->ended)
      return {io_status::failed, 0};
    size_t room = out_->capacity - std::min(out_->capacity, out_->bytes.size());
    if (room == 0)
      return {io_status::again, 0};
    std::string both = std::string{head} + std::string{body};
    both.resize(std::min(both.size(), room));
    out_->bytes += both;
    ++out_->writes;
    out_->reader.resume(true);
    return {io_status::ok, both.size()};
  }
  asio::awaitable<bool> wait_readable() override {
    return wait(in_, &lane::reader, (!in_->bytes.empty() && in_->let_through != 0) || in_->ended);
  }
  asio::awaitable<bool> wait_writable() override {
    return wait(out_, &lane::writer, out_->bytes.size() < out_->capacity || out_->ended);
  }
  void shutdown_write() override {
    out_->ended = true;
    out_->reader.resume(true);
  }
  void cancel() override {
    in_->reader.resume(false);
    out_->writer.resume(false);
  }
  void close(bool) override {
    cancel();
    closed_ = true;
    shutdown_write();
    in_->ended = true;
    in_->writer.resume(true);
  }

private:
  asio::awaitable<bool> wait(std::shared_ptr<lane> on, waiter lane::*slot, bool ready) {
    if (closed_ || ready)
      co_return !closed_;
    bool answer = co_await suspend([&on, slot](waiter who) { (*on).*slot = std::move(who); });
    co_return answer;
  }
  std::shared_ptr<lane> in_, out_;
  bool closed_ = false;
};

/// Certificates for all tests: HaRP's set, and a second one that the first does not know.
struct certificates {
  certificates() {
    std::string form = (fs::temp_directory_path() / "harp-tls-XXXXXX").string();
    CAF_REQUIRE(::mkdtemp(form.data()) != nullptr);
    dir = form;
    CAF_REQUIRE_EQUAL(ensure_frp_certs(dir + "/ours", 100).error, "");
    CAF_REQUIRE_EQUAL(ensure_frp_certs(dir + "/theirs", 100).error, "");
    issue("expired", {"harp.client.nc", "harp.client.nc", false, 0, "01"});
    issue("nameless", {"harp.nc", "", false, 100, "02"});
  }
  ~certificates() { fs::remove_all(dir); }
  certificates(const certificates&) = delete;
  certificates& operator=(const certificates&) = delete;

  /// A leaf of our CA for the server's key.
  void issue(const std::string& name, const certificate_plan& plan) const {
    key_ptr key = load_key_pem(dir + "/ours/server.key"),
            ca_key = load_key_pem(dir + "/ours/ca.key");
    x509_ptr ca = load_certificate_pem(dir + "/ours/ca.crt");
    x509_ptr made = make_certificate(key.get(), plan, ca.get(), ca_key.get());
    std::ofstream{dir + "/" + name + ".pem"} << to_pem(made.get()) << to_pem(key.get());
  }
  std::string dir;
};

inline const certificates& certs() {
  static const certificates made;
  return made;
}

inline tls_settings side(const std::string& who, const std::string& set = "ours") {
  tls_settings out;
  out.certificate_file = certs().dir + "/" + set + "/" + who + ".crt";
  out.key_file = certs().dir + "/" + set + "/" + who + ".key";
  out.ca_file = certs().dir + "/ours/ca.crt";
  out.require_peer_certificate = true;
  return out;
}

inline std::shared_ptr<tls_context>
made(std::variant<std::shared_ptr<tls_context>, std::string> result) {
  if (auto* error = std::get_if<std::string>(&result))
    CAF_FAIL(*error);
  return std::get<std::shared_ptr<tls_context>>(result);
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline asio::awaitable<void> keep(asio::awaitable<tls_result> work,
                                  std::optional<tls_result>& into) {
  into = co_await std::move(work);
}

inline asio::awaitable<void> keep(asio::awaitable<bool> work, std::optional<bool>& into) {
  into = co_await std::move(work);
}

/// Two ends of a wire and, after handshake(), of a TLS connection.
struct connection {
  connection() {
    auto server_end = std::make_unique<wire_end>(to_server, to_client);
    auto client_end = std::make_unique<wire_end>(to_client, to_server);
    server_wire = server_end.get();
    server_carrier = std::move(server_end);
    client_wire = client_end.get();
    client_carrier = std::move(client_end);
  }
  ~connection() {
    server = {};
    client = {};
    run();
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  /// Everything that can happen now.
  void run() {
    on.io().restart();
    while (on.io().poll() != 0) {
    }
  }
  void accept(const tls_settings& settings) {
    launch(on.executor(),
           keep(tls_accept(on, std::move(server_carrier), made(tls_context::server(settings)), 10s),
                server),
           "server");
  }
  void connect(const tls_settings& settings, const std::string& name = "harp.nc") {
    launch(on.executor(),
           keep(tls_connect(on, std::move(client_carrier), made(tls_context::client(settings)),
                            name, 10s),
                client),
           "client");
  }
  void handshake(const tls_settings& server_settings = side("server"),
                 const tls_settings& client_settings = side("client"),
                 const std::string& name = "harp.nc") {
    accept(server_settings);
    connect(client_settings, name);
    run();
    CAF_REQUIRE(server && client);
  }
  [[nodiscard]] stream& s() const { return *server->stream; }
  [[nodiscard]] stream& c() const { return *client->stream; }

  loop on{0};
  std::shared_ptr<lane> to_server = std::make_shared<lane>(), to_client = std::make_shared<lane>();
  wire_end* server_wire = nullptr;
  wire_end* client_wire = nullptr;
  stream_ptr server_carrier, client_carrier;
  std::optional<tls_result> server, client;
};

/// Reads until there is nothing more now; the last status.
inline io_status drink(stream& from, std::string& into, size_t piece = 30'000) {
  std::string space(piece, '\0');
  for (;;) {
    io_result got = from.try_read(space);
    if (got.status != io_status::ok)
      return got.status;
    into.append(space, 0, got.bytes);
  }
}

} // namespace tls_world
