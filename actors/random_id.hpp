// Unpredictable texts: session ids, keys, codes.
#pragma once

#include <cstddef>
#include <string>

namespace harp {

/// `bytes` from libsodium's random source in lower-case hex, so twice as many characters. sodium_init() comes first.
std::string random_hex(size_t bytes);

} // namespace harp
