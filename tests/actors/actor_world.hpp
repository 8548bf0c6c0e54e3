// What actor tests share: virtual time, a fake of net/, and ways to ask.
#pragma once

#include "actors/hot_answers.hpp"
#include "actors/messages.hpp"
#include "actors/net_port.hpp"

#include <caf/all.hpp>
#define FAIL CAF_FAIL // dsl.hpp expects it
#include <caf/test/dsl.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace harp::testing {

/// Notes what actors ask of net/; tests answer when they like.
class fake_port : public net_port {
public:
  struct call {
    std::shared_ptr<const net::fetch_request> request;
    uint64_t token;
    caf::actor answer_to;
  };
  struct probe {
    uint64_t session;
    uint64_t token;
    caf::actor answer_to;
  };
  void fetch(std::shared_ptr<const net::fetch_request> request, uint64_t token, caf::actor answer_to) override {
    calls.push_back({std::move(request), token, std::move(answer_to)});
  }
  void probe_tunnel(uint64_t session, std::chrono::milliseconds, uint64_t token, caf::actor answer_to) override {
    probes.push_back({session, token, std::move(answer_to)});
  }
  void end_tunnel(uint64_t session, std::string reason) override { ended.emplace_back(session, std::move(reason)); }

  /// Answers the oldest open call.
  void answer(int status, std::string body, std::string error = {}) {
    auto next = std::move(calls.front());
    calls.erase(calls.begin());
    auto value = std::make_shared<net::fetch_answer>();
    value->status = status;
    value->body = std::move(body);
    value->error = std::move(error);
    caf::anon_send(next.answer_to, fetched{next.token, std::move(value)});
  }
  void answer_probe(bool alive) {
    auto next = std::move(probes.front());
    probes.erase(probes.begin());
    caf::anon_send(next.answer_to, probed{next.token, alive});
  }

  std::vector<call> calls;
  std::vector<probe> probes;
  std::vector<std::pair<uint64_t, std::string>> ended;
};

struct actor_world : test_coordinator_fixture<> {
  fake_port port;
  std::shared_ptr<hot_answers> answers = std::make_shared<hot_answers>();

  void drain() {
    while (sched.try_run_once()) {
    }
  }
  void pass(caf::timespan time) {
    sched.clock().advance_time(time);
    drain();
  }
  int64_t now_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(sched.clock().now().time_since_epoch()).count();
  }
};

} // namespace harp::testing
