// What is known of every container engine, published for status, metrics and commands.
#pragma once

#include "actors/hot_answers.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace harp {

enum class engine_reach : uint8_t { unknown, reachable, unreachable };

/// One engine as its answers show it.
struct engine_facts {
  engine_reach reach = engine_reach::unknown;
  std::string api;     // of its last answer, "" when it told none
  std::string server;  // likewise
  std::string trouble; // why it was not reached
  int64_t heard_unix_s = 0;
  std::string product, version;          // as the last check was told, "" before one
  std::vector<std::string> findings;     // of the last check, for people
  std::vector<std::string> app_findings; // of the last list of apps, likewise
  unsigned running = 0;                  // conversations
  unsigned waiting = 0;
};

struct engine_board {
  published<std::map<uint16_t, engine_facts>> engines; // by port; written by engines
};

} // namespace harp
