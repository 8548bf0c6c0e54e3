// Moves bytes between two streams until both directions end. Nothing is parsed and nothing is kept.
#pragma once

#include "net/runtime.hpp"
#include "net/stream.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>

namespace harp::net {

struct relay_options {
  milliseconds idle{0};   // both directions silent for this long: end; 0 = never
  seconds half_closed{30}; // one direction ended and the other silent for this long: end
  std::atomic<uint64_t>* from_a = nullptr; // live byte counts, may be null
  std::atomic<uint64_t>* from_b = nullptr;
};

struct relay_end {
  const char* reason = ""; // static text for the log: which side ended it and why
  uint64_t bytes_from_a = 0;
  uint64_t bytes_from_b = 0;
};

/// Relays both directions. A buffer is borrowed only while bytes are moved; a slow reader holds back its own sender.
/// Returns when both directions have ended or one failed; the caller closes the streams.
asio::awaitable<relay_end> relay(loop& on, stream& a, stream& b, relay_options options);

} // namespace harp::net
