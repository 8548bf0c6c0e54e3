// Harp as frp client: its pure parts, and against Harp's own server end to end.
#define CAF_SUITE frp_client
#include "tests/net/frp_client_world.hpp"

using namespace frp_client_world;

CAF_TEST(backs_off_as_stock_does) {
  for (unsigned failures = 1; failures <= 4; ++failures)
    for (uint32_t random : {0u, 300u, 12'345u, UINT32_MAX}) {
      CAF_CHECK(reconnect_pause(failures, random) >= 200ms);
      CAF_CHECK(reconnect_pause(failures, random) <= 500ms);
    }
  milliseconds most{0};
  for (unsigned failures = 5; failures <= 100; ++failures) {
    most = std::max(most, reconnect_pause(failures, 0));
    CAF_CHECK(reconnect_pause(failures, UINT32_MAX) <= 22s);
    CAF_CHECK(reconnect_pause(failures, 0) >= 900ms);
  }
  CAF_CHECK(most == 18s);
}

CAF_TEST(writes_the_published_proxy_headers) {
  const frp::start_work_conn from{"a", "192.0.2.7", "192.0.2.1", 5'555, 43'001, ""};
  CAF_CHECK_EQUAL(proxy_header(1, from), "PROXY TCP4 192.0.2.7 192.0.2.1 5555 43001\r\n");
  CAF_CHECK_EQUAL(proxy_header(2, from),
                  unhex("0d0a0d0a000d0a515549540a2111000cc0000207c000020115b3a7f9"));
  CAF_CHECK_EQUAL(proxy_header(0, from), "");
  const frp::start_work_conn v6{"a", "2001:db8::7", "2001:db8::1", 1, 2, ""};
  CAF_CHECK_EQUAL(proxy_header(1, v6), "PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n");
  CAF_CHECK_EQUAL(proxy_header(2, v6).size(), 16u + 36u);
  CAF_CHECK_EQUAL(proxy_header(1, {"a", "", "192.0.2.1", 1, 2, ""}), "");
  CAF_CHECK_EQUAL(proxy_header(1, {"a", "x\r\n", "192.0.2.1", 1, 2, ""}), "");
}

CAF_TEST(round_trips_with_mux) {
  check_round_trips({});
}

CAF_TEST(round_trips_without_mux) {
  options with;
  with.mux = false;
  check_round_trips(with);
}

CAF_TEST(round_trips_with_encryption_and_compression) {
  for (bool mux : {true, false}) {
    options with;
    with.mux = mux;
    with.encryption = with.compression = true;
    with.pool = 0;
    check_round_trips(with);
  }
}

CAF_TEST(round_trips_with_mutual_tls) {
  scratch dir;
  CAF_REQUIRE_EQUAL(ensure_frp_certs(dir.path, 30).error, "");
  for (bool mux : {true, false}) {
    options with;
    with.mux = mux;
    with.certs = dir.path;
    with.pool = 5;
    check_round_trips(with);
  }
}

CAF_TEST(puts_the_user_in_front_of_the_name) {
  options with;
  with.user = "anna";
  pair_of_nodes in{with};
  CAF_REQUIRE(in.gate.wait_runs(1));
  CAF_CHECK_EQUAL(in.gate.name(), "anna.app");
  CAF_CHECK_EQUAL(in.exchange("hello").get(), "hello");
}

CAF_TEST(tells_the_service_who_calls) {
  options with;
  with.proxy_protocol = 1;
  pair_of_nodes in{with};
  CAF_REQUIRE(in.gate.wait_runs(1));
  const std::string header = "PROXY TCP4 192.0.2.7 192.0.2.1 5555 43001\r\n";
  CAF_CHECK_EQUAL(in.exchange("hello", 1, header.size() + 5).get(), header + "hello");
}

CAF_TEST(closes_the_stream_when_the_service_is_away) {
  scratch dir;
  for (const std::string& local :
       {std::string{"127.0.0.1:1"}, "unix:" + dir.path + "/none", std::string{"nonsense"}}) {
    options with;
    with.local = local;
    pair_of_nodes in{with};
    CAF_REQUIRE(in.gate.wait_runs(1));
    CAF_CHECK_EQUAL(in.exchange("hello").get(), "");
    CAF_CHECK_EQUAL(in.exchange("hello").get(), "");
  }
}

CAF_TEST(reaches_unix_sockets) {
  scratch dir;
  options with;
  with.local = "unix:" + dir.path + "/app.sock";
  pair_of_nodes in{with};
  asio::local::stream_protocol::acceptor acceptor{in.loops.at(1).io(), {dir.path + "/app.sock"}};
  auto serve = [](asio::local::stream_protocol::acceptor& at) -> asio::awaitable<void> {
    auto [error, socket] = co_await at.async_accept(nothrow);
    if (!error)
      co_await echo(generic_socket{std::move(socket)});
  };
  auto served = asio::co_spawn(in.loops.at(1).executor(), serve(acceptor), asio::use_future);
  CAF_REQUIRE(in.gate.wait_runs(1));
  CAF_CHECK_EQUAL(in.exchange("hello").get(), "hello");
  CAF_CHECK(served.wait_for(10s) == std::future_status::ready);
}

CAF_TEST(asks_again_after_a_refusal) {
  options with;
  with.refusals = 2;
  pair_of_nodes in{with};
  CAF_CHECK(in.gate.wait_runs(1));
}

CAF_TEST(comes_back_with_its_run_id) {
  for (bool mux : {true, false}) {
    options with;
    with.mux = mux;
    pair_of_nodes in{with};
    CAF_REQUIRE(in.gate.wait_runs(1));
    in.table.find(in.gate.session())->close("test");
    CAF_REQUIRE(in.gate.wait_ends(1));
    CAF_REQUIRE(in.gate.wait_runs(2));
    CAF_CHECK_EQUAL(in.gate.run_id(0), "");
    CAF_CHECK_EQUAL(in.gate.run_id(1), "0123456789abcdef");
    CAF_CHECK_EQUAL(in.exchange("hello").get(), "hello");
  }
}

CAF_TEST(keeps_trying_after_a_refused_login) {
  options with;
  with.token = "wrong";
  pair_of_nodes in{with};
  CAF_CHECK(in.gate.wait_logins(3));
  CAF_CHECK(in.table.all().empty());
}

CAF_TEST(is_alive_from_any_thread_and_dead_after_stop) {
  for (bool mux : {true, false}) {
    options with;
    with.mux = mux;
    pair_of_nodes in{with};
    CAF_REQUIRE(in.gate.wait_runs(1));
    const auto session = in.table.find(in.gate.session());
    for (size_t at : {0u, 1u})
      CAF_CHECK(
          asio::co_spawn(in.loops.at(at).executor(), session->alive(2'000ms), asio::use_future)
              .get());
    in.client->stop();
    CAF_REQUIRE(in.gate.wait_ends(1));
    CAF_CHECK(
        !asio::co_spawn(in.loops.at(1).executor(), session->alive(200ms), asio::use_future).get());
    CAF_CHECK(in.table.all().empty());
  }
}
