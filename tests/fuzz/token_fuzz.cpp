// Fuzz target: invite tokens that people paste, and the governor's records of them.
#include "storage/invite.hpp"

#include <cstdint>
#include <cstdlib>

using namespace harp;

namespace {

void require(bool holds) {
  if (!holds)
    std::abort();
}

void check_token(std::string_view text) {
  auto parsed = invite_token::parse(text);
  if (auto* words = std::get_if<std::string>(&parsed)) {
    require(!words->empty());
    return;
  }
  const auto& token = std::get<invite_token>(parsed);
  require(!token.addresses.empty() && token.addresses.size() <= invite_addresses_max
          && token.uses != 0);
  auto again = invite_token::parse(token.to_text());
  require(std::get<invite_token>(again).secret == token.secret);
}

void check_record(std::string_view bytes) {
  auto record = invite_record::decode(bytes);
  if (!record)
    return;
  require(record->encode() == bytes);
  auto before = record->uses_left;
  bool granted = record->spend(device_key{}, "x", 1) == invite_verdict::granted;
  require(record->uses_left == before - (granted ? 1 : 0));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  check_token(bytes);
  check_token("H1." + std::string(bytes));
  check_record(bytes);
  return 0;
}
