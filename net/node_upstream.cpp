#include "net/node_upstream.hpp"

namespace harp::net {

bool is_reset_by_node(const stream& from) {
  constexpr std::string_view words_of_mux
      = "stream reset"; // mux_core::failure_of; an ended link says "session ended: ..."
  return from.failure() == words_of_mux;
}

} // namespace harp::net
