#include "actors/error.hpp"

namespace harp {

std::string to_string(ec code) {
  switch (code) {
    case ec::none:
      return "none";
    case ec::bad_key:
      return "bad_key";
    case ec::banned:
      return "banned";
    case ec::unavailable:
      return "unavailable";
    case ec::no_tunnel:
      return "no_tunnel";
    case ec::busy:
      return "busy";
    case ec::store_failed:
      return "store_failed";
  }
  return "unknown";
}

} // namespace harp
