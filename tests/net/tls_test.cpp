// TLS streams: how they end, what waits for what, what arrives.
#define CAF_SUITE tls
#include "tests/net/tls_world.hpp"

#include <random>

using namespace tls_world;

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
