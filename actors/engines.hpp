// Container engines: carries out typed calls, several engines at once, each with its own bounded
// queue, so that one slow engine harms no other (design.md 3; quality.md R2, R3, S4).
#pragma once

#include "actors/engine_board.hpp"
#include "actors/engine_kubernetes.hpp"
#include "actors/engine_port.hpp"
#include "actors/handles.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace harp {

inline constexpr size_t engine_conversations_max = 32; // at once on one engine
inline constexpr size_t engine_waiting_max = 64;       // behind them
inline constexpr size_t adoptions_noted_max = 4096;
/// The newest Docker API whose documents Harp was tested with: a newer engine is asked for this one.
inline constexpr const char* engine_api_newest = "1.47";

/// How long a call may take as a whole: inside AppAPI's own limits (appapi-harp.md 2.6, 4.5).
std::chrono::milliseconds engine_call_limit(exapp_action action, uint16_t engine);
/// Of one request to a Kubernetes API; a conversation there may be much longer.
inline constexpr std::chrono::seconds kubernetes_request_limit{60};

class engines_state {
public:
  static inline const char* name = "harp.engines";
  explicit engines_state(engines_actor::pointer self) : self_(self) {}
  engines_actor::behavior_type start(std::shared_ptr<const engine_identity> us,
                                     std::shared_ptr<engine_board> board, engine_port* port);

private:
  using promise = caf::typed_response_promise<engine_verdict>;
  struct conversation {
    uint16_t engine = 0;
    promise answer;
    int64_t began_ms = 0;
    int64_t deadline_ms = 0;
    bool running = false;
    engine_job job;
    script<exapp_answer> lines; // refers to job: destroyed before it
  };
  struct engine_entry {
    engine_facts facts;
    unsigned api = 0; // as api_number; 0 = not known yet
    std::deque<uint64_t> waiting;
  };

  caf::result<engine_verdict> carry(const engine_order& order);
  void begin(uint64_t token, conversation& one);
  void advance(uint64_t token, conversation& one);
  void ask(uint64_t token, conversation& one, engine_request request);
  void told(const engine_told& got);
  void wake(uint64_t token);
  void late(uint64_t token);
  void finish(uint64_t token, exapp_answer answer);
  void start_next(uint16_t port);
  void learn(uint16_t port, const engine_reply& reply);
  void log_end(const conversation& one, const exapp_answer& answer) const;
  void note_adoption(const conversation& one, const container_facts& found);
  void publish();
  void end(const caf::error& reason);
  [[nodiscard]] int64_t now_ms() const;

  engines_actor::pointer self_;
  std::shared_ptr<const engine_identity> us_;
  std::shared_ptr<engine_board> board_;
  engine_port* port_ = nullptr;
  uint64_t last_token_ = 0;
  std::map<uint64_t, std::unique_ptr<conversation>> conversations_;
  std::map<uint16_t, engine_entry> engines_;
  std::set<std::string> adopted_;
};

engines_actor::behavior_type engines(engines_actor::stateful_pointer<engines_state> self,
                                     std::shared_ptr<const engine_identity> us,
                                     std::shared_ptr<engine_board> board, engine_port* port);

} // namespace harp
