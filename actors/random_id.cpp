#include "actors/random_id.hpp"

#include <sodium.h>

#include <vector>

namespace harp {

std::string random_hex(size_t bytes) {
  std::vector<unsigned char> raw(bytes);
  randombytes_buf(raw.data(), raw.size());
  std::string text(2 * bytes + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), raw.data(), raw.size());
  text.pop_back();
  sodium_memzero(raw.data(), raw.size());
  return text;
}

} // namespace harp
