// Work streams of the tunnel server: parked, asked for, handed to users, limited, transformed.
#define CAF_SUITE frp_work
#include "tests/net/frp_world.hpp"

using namespace frp_world;

CAF_TEST(hands_a_parked_stream_to_a_user_and_asks_for_another) {
  ready in;
  const int work = in.work();
  const auto user = open_work(in, "app");
  CAF_REQUIRE(in.until([&] { return user->done; }));
  CAF_REQUIRE(user->got.stream != nullptr);
  CAF_CHECK(!user->got.stream->half_closes());
  std::string bytes;
  const auto start = must_start(in, work, bytes);
  CAF_CHECK_EQUAL(start.name, "app");
  CAF_CHECK_EQUAL(start.src_addr, "127.0.0.1");
  CAF_CHECK_EQUAL(start.src_port, 40'000);
  CAF_CHECK_EQUAL(start.dst_port, 23'001);
  in.client.must<frp::req_work_conn>();
  CAF_CHECK_EQUAL(user->got.stream->try_write("hello").bytes, 5u);
  put(work, "world!");
  std::array<char, 100> into;
  CAF_CHECK_EQUAL(user->got.stream->try_read(into).bytes, 6u);
  drain(work, bytes);
  CAF_CHECK_EQUAL(bytes, "hello");
  const auto facts = in.table.find(in.gate.last_session)->facts();
  CAF_CHECK_EQUAL(facts.streams, 1u);
  CAF_CHECK_EQUAL(facts.bytes_in, 6u);
  CAF_CHECK_EQUAL(facts.bytes_out, 5u);
  CAF_CHECK_EQUAL(facts.proxies.size(), 1u);
  user->got.stream.reset();
  CAF_CHECK(closes(in, work));
  CAF_CHECK_EQUAL(in.table.find(in.gate.last_session)->facts().streams, 0u);
}

CAF_TEST(asks_and_waits_when_nothing_is_parked) {
  ready in{quick_settings(), 0};
  const auto user = open_work(in, "app");
  in.settle();
  CAF_CHECK(!user->done);
  in.client.must<frp::req_work_conn>(); // one to use
  in.client.must<frp::req_work_conn>(); // one to keep: the pool grows
  const int work = in.work();
  CAF_REQUIRE(in.until([&] { return user->done; }));
  CAF_CHECK(user->got.stream != nullptr);
  std::string bytes;
  must_start(in, work, bytes);
}

CAF_TEST(gives_up_after_the_limit) {
  ready in;
  const auto user = open_work(in, "app", 20ms);
  CAF_REQUIRE(in.until([&] { return user->done; }));
  CAF_CHECK(user->got.stream == nullptr);
  CAF_CHECK(user->got.error == work_error::no_stream);
}

CAF_TEST(knows_no_tunnel_for_other_names_and_after_the_end) {
  ready in;
  in.work();
  const auto other = open_work(in, "other");
  CAF_REQUIRE(in.until([&] { return other->done; }));
  CAF_CHECK(other->got.error == work_error::no_tunnel);
  in.client.send(frp::close_proxy{"app"});
  in.settle();
  const auto late = open_work(in, "app");
  CAF_REQUIRE(in.until([&] { return late->done; }));
  CAF_CHECK(late->got.error == work_error::no_tunnel);
}

CAF_TEST(waiting_users_learn_of_the_end) {
  ready in;
  const auto user = open_work(in, "app");
  in.settle();
  in.table.find(in.gate.last_session)->close("replaced by a newer login");
  CAF_REQUIRE(in.until([&] { return user->done; }));
  CAF_CHECK(user->got.error == work_error::no_tunnel);
  CAF_CHECK(in.client.ends());
  CAF_CHECK(in.until([&] { return in.gate.ends.size() == 1; }));
  CAF_CHECK_EQUAL(in.gate.ends[0], "replaced by a newer login");
}

CAF_TEST(parked_streams_end_with_the_session) {
  ready in;
  const int work = in.work();
  CAF_CHECK(stays(in, work));
  in.table.find(in.gate.last_session)->close("test");
  CAF_CHECK(closes(in, work));
}

CAF_TEST(passes_over_parked_streams_that_ended) {
  ready in;
  const int dead = in.work();
  const int live = in.work();
  ::shutdown(dead, SHUT_RDWR);
  const auto user = open_work(in, "app");
  CAF_REQUIRE(in.until([&] { return user->done; }));
  CAF_REQUIRE(user->got.stream != nullptr);
  std::string bytes;
  CAF_CHECK_EQUAL(must_start(in, live, bytes).name, "app");
}

CAF_TEST(cuts_parked_streams_that_speak) {
  ready in;
  const int noisy = in.work();
  put(noisy, "x");
  for (int i = 0; i < 4; ++i)
    in.pass(250ms);
  CAF_CHECK(closes(in, noisy));
}

CAF_TEST(keeps_no_more_parked_streams_than_the_pool) {
  ready in;
  std::vector<int> works;
  for (int i = 0; i < 12; ++i)
    works.push_back(in.work());
  for (int i = 0; i < 11; ++i)
    CAF_CHECK(stays(in, works[static_cast<size_t>(i)]));
  CAF_CHECK(closes(in, works[11]));
}

CAF_TEST(refuses_work_for_an_unknown_run_id) {
  ready in;
  const int stray = in.work("0123456789abcdee");
  std::string bytes;
  CAF_CHECK(!must_start(in, stray, bytes).error.empty());
  CAF_CHECK(closes(in, stray));
}

CAF_TEST(asks_again_when_requested_streams_do_not_come) {
  ready in;
  CAF_CHECK(in.client.quiet());
  for (int i = 0; i < 16; ++i)
    in.pass(250ms);
  in.client.must<frp::req_work_conn>();
  CAF_CHECK(in.client.quiet());
}

CAF_TEST(serves_many_users_at_once) {
  ready in;
  std::vector<std::shared_ptr<opened>> users;
  for (int i = 0; i < 200; ++i)
    users.push_back(open_work(in, "app"));
  in.settle();
  int asked = 0;
  while (!in.client.quiet()) {
    in.client.must<frp::req_work_conn>();
    ++asked;
  }
  CAF_CHECK(asked >= 199);
  CAF_CHECK(asked <= 220);
  for (int i = 0; i < 200; ++i)
    in.work();
  for (const auto& user : users) {
    CAF_REQUIRE(in.until([&] { return user->done; }));
    CAF_CHECK(user->got.stream != nullptr);
  }
}

CAF_TEST(server_side_limit_holds_the_stream_back) {
  ready in;
  frp::new_proxy asked;
  asked.name = "slow";
  asked.remote_port = 23'002;
  asked.bandwidth_limit = "64KB";
  asked.bandwidth_limit_mode = "server";
  in.client.send(asked);
  CAF_CHECK_EQUAL(in.client.must<frp::new_proxy_resp>().error, "");
  CAF_CHECK_EQUAL(in.gate.claims.back().server_limit, 65'536u);
  in.work();
  const auto user = open_work(in, "slow");
  CAF_REQUIRE(in.until([&] { return user->done; }));
  CAF_REQUIRE(user->got.stream != nullptr);
  const std::string much(60'000, 'x');
  CAF_CHECK_EQUAL(user->got.stream->try_write(much).bytes, 60'000u);
  CAF_CHECK(user->got.stream->try_write(much).bytes < 10'000u);
}

CAF_TEST(encrypted_and_compressed_proxies_are_transformed) {
  ready in;
  frp::new_proxy asked;
  asked.name = "both";
  asked.remote_port = 23'002;
  asked.use_encryption = asked.use_compression = true;
  in.client.send(asked);
  CAF_CHECK_EQUAL(in.client.must<frp::new_proxy_resp>().error, "");
  const int work = in.work();
  const auto user = open_work(in, "both");
  CAF_REQUIRE(in.until([&] { return user->done; }));
  std::string bytes;
  CAF_CHECK_EQUAL(must_start(in, work, bytes).name, "both"); // in clear
  CAF_REQUIRE(user->got.stream != nullptr);
  CAF_CHECK_EQUAL(user->got.stream->try_write("hello").bytes, 5u);
  drain(work, bytes);
  CAF_CHECK_EQUAL(bytes.size(), 16u + 10u + 8u + 5u);
  CAF_CHECK(bytes.find("hello") == std::string::npos);
}
