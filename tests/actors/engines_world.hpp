// The engines actor for its tests: a fake of the wires, ways to order calls and to answer what it asks.
#pragma once

#include "actors/engines.hpp"
#include "tests/actors/actor_world.hpp"

namespace harp::testing {

/// Notes requests; tests answer when they like.
struct fake_engines : engine_port {
  struct call {
    uint16_t port;
    std::shared_ptr<const engine_request> request;
    std::chrono::milliseconds limit;
    uint64_t token;
    caf::actor answer_to;
  };
  void ask_engine(uint16_t port, std::shared_ptr<const engine_request> request,
                  std::chrono::milliseconds limit, uint64_t token, caf::actor answer_to) override {
    lines.push_back(request->method + " " + request->target);
    calls.push_back({port, std::move(request), limit, token, std::move(answer_to)});
  }
  std::string place(uint16_t) const override { return "unix:/x"; }

  void tell(size_t which, engine_reply reply) {
    auto next = std::move(calls.at(which));
    calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(which));
    caf::anon_send(next.answer_to,
                   engine_told{next.token, std::make_shared<const engine_reply>(std::move(reply))});
  }
  std::vector<call> calls;
  std::vector<std::string> lines; // every request so far
};

/// The engines actor on virtual time, asked as bridge_control asks it.
struct engines_world : actor_world {
  fake_engines engine;
  std::shared_ptr<engine_board> board = std::make_shared<engine_board>();
  engines_actor tested;

  engines_world() {
    auto us = std::make_shared<engine_identity>();
    us->owner = "http://nc";
    us->shared_key = "key";
    us->kubernetes = std::make_shared<const kubernetes_rules>();
    tested = sys.spawn(engines, us, board, &engine);
    drain();
  }
  ~engines_world() {
    caf::anon_send_exit(tested, caf::exit_reason::kill);
    drain();
  }

  using pending = decltype(self->request(tested, caf::infinite, carry_atom_v, engine_order{}));
  pending order(exapp_action action, std::string_view json, uint16_t where = 24000,
                std::shared_ptr<const frp_files> files = nullptr) {
    auto kind = where == kubernetes_engine ? engine_kind::kubernetes : engine_kind::docker;
    auto parsed = parse_exapp_call(action, json, kind);
    CAF_REQUIRE(std::holds_alternative<exapp_call>(parsed));
    engine_order out{where,
                     std::make_shared<const exapp_call>(std::get<exapp_call>(std::move(parsed))),
                     files, nullptr};
    auto asked = self->request(tested, caf::infinite, carry_atom_v, out);
    drain();
    return asked;
  }
  pending app(exapp_action action) { return order(action, R"({"name":"app"})"); }

  /// Answers the oldest open request.
  void reply(int status, std::string body = {}) {
    CAF_REQUIRE(!engine.calls.empty());
    engine_reply out;
    out.status = status;
    out.body = std::move(body);
    engine.tell(0, std::move(out));
    drain();
  }
  void trouble(engine_trouble what) {
    engine_reply out;
    out.trouble = what;
    out.error = "words";
    engine.tell(0, std::move(out));
    drain();
  }
  exapp_answer result(pending& asked) {
    exapp_answer out;
    asked.receive([&](const engine_verdict& verdict) { out = *verdict.answer; },
                  [&](caf::error& error) { CAF_FAIL("no answer: " << caf::to_string(error)); });
    return out;
  }
  void check(pending& asked, int status, std::string_view body = {}) {
    auto got = result(asked);
    CAF_CHECK_EQUAL(got.status, status);
    if (!body.empty())
      CAF_CHECK_EQUAL(got.body, body);
  }
  void check_lines(std::vector<std::string> wanted) {
    CAF_CHECK_EQUAL(engine.lines, wanted);
    CAF_CHECK(engine.calls.empty());
  }
};

} // namespace harp::testing
