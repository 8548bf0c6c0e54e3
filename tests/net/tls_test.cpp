// TLS streams over a wire that the test holds in its hands: who is let in, how streams end, what
// waits for what.
#define CAF_SUITE tls
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
#include <random>

using namespace harp::net;
using std::chrono_literals::operator""s;
namespace fs = std::filesystem;

namespace {

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

const certificates& certs() {
  static const certificates made;
  return made;
}

tls_settings side(const std::string& who, const std::string& set = "ours") {
  tls_settings out;
  out.certificate_file = certs().dir + "/" + set + "/" + who + ".crt";
  out.key_file = certs().dir + "/" + set + "/" + who + ".key";
  out.ca_file = certs().dir + "/ours/ca.crt";
  out.require_peer_certificate = true;
  return out;
}

std::shared_ptr<tls_context> made(std::variant<std::shared_ptr<tls_context>, std::string> result) {
  if (auto* error = std::get_if<std::string>(&result))
    CAF_FAIL(*error);
  return std::get<std::shared_ptr<tls_context>>(result);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

asio::awaitable<void> keep(asio::awaitable<tls_result> work, std::optional<tls_result>& into) {
  into = co_await std::move(work);
}

asio::awaitable<void> keep(asio::awaitable<bool> work, std::optional<bool>& into) {
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
io_status drink(stream& from, std::string& into, size_t piece = 30'000) {
  std::string space(piece, '\0');
  for (;;) {
    io_result got = from.try_read(space);
    if (got.status != io_status::ok)
      return got.status;
    into.append(space, 0, got.bytes);
  }
}

} // namespace

CAF_TEST(both_prove_themselves_and_talk) {
  connection both;
  both.handshake();
  CAF_REQUIRE_EQUAL(both.server->error, "");
  CAF_REQUIRE_EQUAL(both.client->error, "");
  std::string heard;
  CAF_CHECK(drink(both.c(), heard) == io_status::again);
  CAF_CHECK_EQUAL(both.s().try_write("head ", "body").bytes, 9u);
  CAF_CHECK(drink(both.c(), heard) == io_status::again);
  CAF_CHECK_EQUAL(heard, "head body");
  CAF_CHECK_EQUAL(both.c().try_write("answer").bytes, 6u);
  heard.clear();
  CAF_CHECK(drink(both.s(), heard, 2) == io_status::again);
  CAF_CHECK_EQUAL(heard, "answer");
  CAF_CHECK(both.s().half_closes());
}

CAF_TEST(a_client_without_certificate_is_refused) {
  connection both;
  tls_settings bare;
  bare.ca_file = side("client").ca_file;
  both.handshake(side("server"), bare);
  CAF_CHECK(contains(both.server->error, "the peer sent no certificate"));
  CAF_CHECK(both.server->stream == nullptr);
  CAF_REQUIRE(both.client->stream != nullptr); // in TLS 1.3 the client hears of it when it reads
  std::string heard;
  CAF_CHECK(drink(both.c(), heard) == io_status::failed);
  CAF_CHECK(contains(both.c().failure(), "the peer refused: certificate required"));
}

CAF_TEST(a_client_of_another_ca_is_refused) {
  connection both;
  both.handshake(side("server"), side("client", "theirs"));
  CAF_CHECK(contains(both.server->error, "the peer's certificate is refused"));
}

CAF_TEST(an_expired_client_is_refused_in_words) {
  connection both;
  auto expired = side("client");
  expired.certificate_file = certs().dir + "/expired.pem";
  expired.key_file.clear();
  both.handshake(side("server"), expired);
  CAF_CHECK(contains(both.server->error, "certificate has expired"));
}

CAF_TEST(a_client_checks_name_and_issuer) {
  auto error_for = [](const tls_settings& server, const std::string& name) {
    connection both;
    both.handshake(server, side("client"), name);
    CAF_CHECK_EQUAL(both.client->error.empty(), both.client->stream != nullptr);
    return both.client->error;
  };
  CAF_CHECK_EQUAL(error_for(side("server"), "HARP.nc"), "");
  CAF_CHECK(contains(error_for(side("server"), "other.nc"), "hostname mismatch"));
  CAF_CHECK(contains(error_for(side("server"), "127.0.0.1"), "IP address mismatch"));
  CAF_CHECK(contains(error_for(side("server"), "[::1]"), "IP address mismatch"));
  CAF_CHECK(contains(error_for(side("server"), ""), "no name"));
  CAF_CHECK(!error_for(side("server", "theirs"), "harp.nc").empty());
  auto nameless = side("server");
  nameless.certificate_file = certs().dir + "/nameless.pem";
  nameless.key_file.clear();
  CAF_CHECK(contains(error_for(nameless, "harp.nc"), "hostname mismatch")); // CN alone is no name
}

CAF_TEST(a_client_told_not_to_verify_does_not) {
  connection both;
  auto trusting = side("client");
  trusting.verify_peer = false;
  both.handshake(side("server", "ours"), trusting, "other.nc");
  CAF_CHECK_EQUAL(both.client->error, "");
}

CAF_TEST(alpn_is_demanded_when_given) {
  auto with = [](const std::string& alpn, tls_settings settings) {
    settings.alpn = alpn;
    return settings;
  };
  connection same, other, none;
  same.handshake(with("harp/1", side("server")), with("harp/1", side("client")));
  CAF_CHECK_EQUAL(same.server->error + same.client->error, "");
  other.handshake(with("harp/1", side("server")), with("harp-join/1", side("client")));
  CAF_CHECK(!other.server->error.empty());
  CAF_CHECK(!other.client->error.empty());
  none.handshake(with("harp/1", side("server")), side("client"));
  CAF_CHECK(contains(none.server->error, "does not speak harp/1"));
}

CAF_TEST(a_silent_peer_is_given_up) {
  connection both;
  both.accept(side("server"));
  both.run();
  CAF_CHECK(!both.server);
  both.on.check_deadlines(both.on.coarse_now() + 9s);
  both.run();
  CAF_CHECK(!both.server);
  both.on.check_deadlines(both.on.coarse_now() + 2s);
  both.run();
  CAF_REQUIRE(both.server.has_value());
  CAF_CHECK(contains(both.server->error, "no TLS handshake within 10000 ms"));
}

CAF_TEST(a_peer_without_tls_is_told_apart) {
  connection both;
  both.accept(side("server"));
  both.client_carrier->try_write("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "");
  both.run();
  CAF_REQUIRE(both.server.has_value());
  CAF_CHECK(contains(both.server->error, "does not speak TLS"));
  connection gone;
  gone.accept(side("server"));
  gone.client_carrier.reset();
  gone.run();
  CAF_REQUIRE(gone.server.has_value());
  CAF_CHECK(contains(gone.server->error, "closed the connection during"));
}

CAF_TEST(an_end_is_told_from_a_cut) {
  connection polite, cut, tolerant;
  polite.handshake();
  std::string heard;
  CAF_CHECK(polite.c().try_write("last words").status == io_status::ok);
  polite.c().shutdown_write();
  CAF_CHECK(drink(polite.s(), heard) == io_status::eof);
  CAF_CHECK_EQUAL(heard, "last words");
  CAF_CHECK(drink(polite.s(), heard) == io_status::eof);
  CAF_CHECK(polite.c().try_write("more").status == io_status::failed);
  CAF_CHECK(polite.s().try_write("still here").status == io_status::ok); // half-closed
  heard.clear();
  CAF_CHECK(drink(polite.c(), heard) == io_status::again);
  CAF_CHECK_EQUAL(heard, "still here");

  cut.handshake();
  cut.client_wire->close(false);
  CAF_CHECK(drink(cut.s(), heard) == io_status::failed);
  CAF_CHECK(contains(cut.s().failure(), "truncated"));
  CAF_CHECK(cut.s().try_write("x").status == io_status::failed);

  auto settings = side("server");
  settings.tolerate_truncation = true;
  tolerant.handshake(settings);
  tolerant.client_wire->shutdown_write();
  CAF_CHECK(drink(tolerant.s(), heard) == io_status::eof);
  CAF_CHECK_EQUAL(tolerant.s().failure(), "");
}

CAF_TEST(closing_says_goodbye_and_reset_does_not) {
  connection polite, rude;
  polite.handshake();
  polite.client->stream.reset();
  std::string heard;
  CAF_CHECK(drink(polite.s(), heard) == io_status::eof);
  rude.handshake();
  rude.c().close(true);
  CAF_CHECK(drink(rude.s(), heard) == io_status::failed);
  CAF_CHECK(rude.c().try_read({heard.data(), 1}).status == io_status::failed);
}

CAF_TEST(an_early_answer_is_read_although_writing_failed) {
  connection both;
  both.handshake();
  CAF_CHECK(both.c().try_write("413").status == io_status::ok);
  both.to_client->ended = true;
  CAF_CHECK(both.s().try_write("body").status == io_status::failed);
  CAF_CHECK(both.s().try_write("body").status == io_status::failed);
  std::string heard;
  CAF_CHECK(drink(both.s(), heard) == io_status::again);
  CAF_CHECK_EQUAL(heard, "413");
}

CAF_TEST(speaks_tls_1_2_but_nothing_older) {
  for (int version : {TLS1_2_VERSION, TLS1_1_VERSION}) {
    connection both;
    auto old = made(tls_context::client(side("client")));
    SSL_CTX_set_min_proto_version(old->native(), version);
    SSL_CTX_set_max_proto_version(old->native(), version);
    both.accept(side("server"));
    launch(both.on.executor(),
           keep(tls_connect(both.on, std::move(both.client_carrier), old, "harp.nc", 10s),
                both.client),
           "client");
    both.run();
    CAF_REQUIRE(both.server && both.client);
    CAF_CHECK_EQUAL(both.server->stream != nullptr, version == TLS1_2_VERSION);
    if (!both.server->stream)
      continue;
    CAF_CHECK(!both.s().half_closes());
    CAF_CHECK(both.c().try_write("old").status == io_status::ok);
    std::string heard;
    CAF_CHECK(drink(both.s(), heard) == io_status::again);
    CAF_CHECK_EQUAL(heard, "old");
  }
}

CAF_TEST(altered_bytes_are_never_delivered) {
  connection both;
  both.handshake();
  CAF_CHECK(both.c().try_write("secret").status == io_status::ok);
  both.to_server->bytes[both.to_server->bytes.size() / 2] ^= 1;
  std::string heard;
  CAF_CHECK(drink(both.s(), heard) == io_status::failed);
  CAF_CHECK_EQUAL(heard, "");
  CAF_CHECK(!both.s().failure().empty());
}

CAF_TEST(half_a_record_is_not_readable) {
  connection both;
  both.handshake();
  std::string heard;
  CAF_CHECK(drink(both.s(), heard) == io_status::again);
  CAF_CHECK(both.c().try_write("hello").status == io_status::ok);
  both.to_server->let_through = 10;
  std::optional<bool> readable;
  launch(both.on.executor(), keep(both.s().wait_readable(), readable), "wait");
  both.run();
  CAF_CHECK(!readable);
  both.to_server->let_through = SIZE_MAX;
  both.to_server->reader.resume(true);
  both.run();
  CAF_CHECK(readable == true);
  CAF_CHECK(drink(both.s(), heard) == io_status::again);
  CAF_CHECK_EQUAL(heard, "hello");
}

CAF_TEST(decrypted_bytes_are_readable_at_once) {
  connection both;
  both.handshake();
  CAF_CHECK(both.c().try_write("hello").status == io_status::ok);
  CAF_CHECK(both.c().try_write("world").status == io_status::ok);
  std::string space(3, '\0');
  for (int i = 0; i < 3; ++i) {
    std::optional<bool> readable;
    launch(both.on.executor(), keep(both.s().wait_readable(), readable), "wait");
    both.run();
    CAF_CHECK(readable == true);
    CAF_CHECK_EQUAL(both.s().try_read(space).bytes, 3u);
  }
}

CAF_TEST(many_records_go_in_one_write) {
  connection both;
  both.handshake();
  std::string heard, text(200'000, 'x');
  size_t before = both.to_client->writes;
  CAF_CHECK_EQUAL(both.s().try_write("head", text).bytes, text.size() + 4);
  CAF_CHECK_EQUAL(both.to_client->writes, before + 1);
  CAF_CHECK(drink(both.c(), heard) == io_status::again);
  CAF_CHECK_EQUAL(heard.size(), text.size() + 4);
  both.s().try_write("twelve bytes", "and a body");
  CAF_CHECK_EQUAL(both.to_client->bytes.size(), 12u + 10u + 22u); // one record for both
}

CAF_TEST(what_was_taken_arrives_though_nobody_asks_again) {
  connection both;
  both.handshake();
  std::string heard, text(100'000, 'y');
  both.to_client->capacity = 1'000;
  CAF_CHECK_EQUAL(both.s().try_write(text, "").bytes, text.size());
  CAF_CHECK(both.s().try_write("more").status == io_status::again);
  std::optional<bool> writable;
  launch(both.on.executor(), keep(both.s().wait_writable(), writable), "wait");
  both.s().shutdown_write(); // its close_notify and FIN come after the text
  for (int round = 0; round < 1'000 && heard.size() < text.size(); ++round) {
    both.run();
    CAF_CHECK(!both.to_client->ended || !both.to_client->bytes.empty());
    drink(both.c(), heard);
  }
  both.run();
  CAF_CHECK(drink(both.c(), heard) == io_status::eof);
  CAF_CHECK(heard == text);
  CAF_CHECK(writable == true);
}

CAF_TEST(cancel_wakes_waiters_but_loses_no_byte) {
  connection both;
  both.handshake();
  std::string heard, text(50'000, 'z');
  both.to_client->capacity = 1'000;
  CAF_CHECK_EQUAL(both.s().try_write(text, "").bytes, text.size());
  std::optional<bool> readable, writable;
  launch(both.on.executor(), keep(both.s().wait_readable(), readable), "wait");
  launch(both.on.executor(), keep(both.s().wait_writable(), writable), "wait");
  both.run();
  CAF_CHECK(!readable && !writable);
  both.s().cancel();
  both.run();
  CAF_CHECK(readable == false);
  CAF_CHECK(writable == false);
  for (int round = 0; round < 1'000 && heard.size() < text.size(); ++round) {
    drink(both.c(), heard);
    both.run();
  }
  CAF_CHECK(heard == text);
}

CAF_TEST(destroying_wakes_waiters) {
  connection both;
  both.handshake();
  both.to_client->capacity = 1'000;
  CAF_CHECK(both.s().try_write(std::string(50'000, 'z'), "").status == io_status::ok);
  std::optional<bool> readable, writable;
  launch(both.on.executor(), keep(both.s().wait_readable(), readable), "wait");
  launch(both.on.executor(), keep(both.s().wait_writable(), writable), "wait");
  both.run();
  both.server->stream.reset();
  both.run();
  CAF_CHECK(readable == false);
  CAF_CHECK(writable == false);
}

CAF_TEST(any_sizes_arrive_in_order) {
  auto seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  connection both;
  both.handshake();
  std::string sent[2], heard[2];
  std::string noise(80'000, '\0');
  std::generate(noise.begin(), noise.end(), [&random] { return static_cast<char>(random()); });
  for (int step = 0; step < 2'000; ++step) {
    size_t who = random() % 2;
    stream& writer = who == 0 ? both.s() : both.c();
    (who == 0 ? both.to_client : both.to_server)->capacity = 1 + random() % 60'000;
    size_t head = random() % 3 == 0 ? 0 : random() % 20'000, body = 1 + random() % 60'000;
    std::string_view first = std::string_view{noise}.substr(random() % 50, head);
    std::string_view second = std::string_view{noise}.substr(random() % 50, body);
    io_result done = writer.try_write(first, second);
    CAF_REQUIRE(done.status == io_status::ok || done.status == io_status::again);
    std::string offered = std::string{first} + std::string{second};
    sent[who].append(offered, 0, done.bytes);
    drink(who == 0 ? both.c() : both.s(), heard[who], 1 + random() % 40'000);
    both.run();
  }
  for (int round = 0;
       round < 100'000 && (heard[0].size() < sent[0].size() || heard[1].size() < sent[1].size());
       ++round) {
    both.run();
    drink(both.c(), heard[0]);
    drink(both.s(), heard[1]);
  }
  CAF_CHECK(heard[0] == sent[0]);
  CAF_CHECK(heard[1] == sent[1]);
  CAF_CHECK(sent[0].size() > 1'000'000);
}

CAF_TEST(settings_that_cannot_work_name_the_file) {
  auto error_of = [](const tls_settings& settings, bool server) {
    auto result = server ? tls_context::server(settings) : tls_context::client(settings);
    auto* error = std::get_if<std::string>(&result);
    return error != nullptr ? *error : std::string{};
  };
  auto settings = side("server");
  CAF_CHECK_EQUAL(error_of(settings, true), "");
  settings.certificate_file = "/nonexistent/cert.pem";
  CAF_CHECK(contains(error_of(settings, true), "/nonexistent/cert.pem: No such file"));
  settings = side("server");
  settings.key_file = side("client").key_file;
  CAF_CHECK(contains(error_of(settings, true), "does not belong to"));
  settings.key_file = settings.ca_file;
  CAF_CHECK(contains(error_of(settings, true), "ca.crt: holds no usable private key"));
  settings = side("server");
  settings.ca_file = side("server").key_file;
  CAF_CHECK(contains(error_of(settings, true), "holds no usable CA certificate"));
  settings.ca_file.clear();
  CAF_CHECK(contains(error_of(settings, true), "no CA file"));
  CAF_CHECK(contains(error_of({}, true), "needs a certificate"));
  CAF_CHECK_EQUAL(error_of({}, false), "");
}
