// What a caller of an actor may react to. Append only: numbers are stable.
#pragma once

#include <caf/error.hpp>
#include <caf/make_message.hpp>

#include <cstdint>
#include <string>

namespace harp {

enum class ec : uint8_t {
  none = 0,
  bad_key = 1,     // the shared key or credential is wrong
  banned = 2,      // too many failures from this address
  unavailable = 3, // Nextcloud cannot be asked now
  no_tunnel = 4,   // no such tunnel session
  busy = 5,        // a cap was reached
  store_failed = 6, // the disk or the database could not do it
};

std::string to_string(ec code);

} // namespace harp

CAF_ERROR_CODE_ENUM(harp::ec, "harp")
