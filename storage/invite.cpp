// Token text with a check sum, and the record's rules.
#include "storage/invite.hpp"

#include "storage/byte_codec.hpp"
#include "storage/digest.hpp"
#include "storage/roster_entry.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstdlib>

namespace harp {

namespace {

constexpr std::string_view token_head = "H1.";
constexpr size_t check_bytes = 4; // tells a token cut off in copying from a wrong one
constexpr uint8_t record_format = 1;
constexpr int base64_variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  auto first = text.find_first_not_of(blank);
  if (first == text.npos)
    return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::string to_base64(std::string_view bytes) {
  std::string out(sodium_base64_encoded_len(bytes.size(), base64_variant), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), base64_variant);
  out.pop_back(); // its terminating zero
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string out(text.size(), '\0');
  size_t size = 0;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), text.data(),
                        text.size(), nullptr, &size, nullptr, base64_variant)
      != 0)
    return std::nullopt;
  out.resize(size);
  return out;
}

std::string check_of(std::string_view bytes) {
  return std::string(blake2b("harp.token", bytes).view().substr(0, check_bytes));
}

bool is_role(uint8_t value) {
  return value >= static_cast<uint8_t>(member_role::reader)
         && value <= static_cast<uint8_t>(member_role::admin);
}

bool read_token(std::string_view bytes, invite_token& out) {
  byte_reader in{bytes};
  out.governor = in.id<governor_hash>();
  out.secret = in.id<invite_secret>();
  auto role = in.u8();
  out.expiry_ms = in.varint();
  auto uses = in.varint();
  out.addresses.resize(in.count(invite_addresses_max));
  for (auto& address : out.addresses) {
    address = in.blob(address_bytes_max);
    if (address.empty())
      in.fail();
  }
  if (!in.done() || !is_role(role) || uses == 0 || uses > invite_uses_max || out.addresses.empty())
    return false;
  out.role = static_cast<member_role>(role);
  out.uses = static_cast<uint32_t>(uses);
  return true;
}

} // namespace

governor_hash governor_hash_of(const device_key& governor) {
  return *governor_hash::from_view(
      blake2b("harp.governor", governor.view()).view().substr(0, governor_hash::size));
}

digest256 invite_hash_of(const invite_secret& secret) {
  return blake2b("harp.invite", secret.view());
}

invite_secret invite_token::make_secret() {
  if (sodium_init() < 0)
    std::abort(); // no random source: a guessable secret would be worse than none
  invite_secret out;
  randombytes_buf(out.bytes.data(), out.bytes.size());
  return out;
}

std::string invite_token::to_text() const {
  byte_writer out;
  out.id(governor);
  out.id(secret);
  out.u8(static_cast<uint8_t>(role));
  out.varint(expiry_ms);
  out.varint(uses);
  out.varint(addresses.size());
  for (const auto& address : addresses)
    out.blob(address);
  out.raw(check_of(out.bytes()));
  return std::string(token_head) + to_base64(out.bytes());
}

std::variant<invite_token, std::string> invite_token::parse(std::string_view text) {
  text = trimmed(text);
  if (text.empty())
    return std::string("the token is empty; copy the whole line that starts with H1.");
  if (text.size() > 3 && text[0] == 'H' && text[1] > '1' && text[1] <= '9' && text[2] == '.')
    return std::string("this token was made by a newer Harp; update Harp on this machine");
  if (!text.starts_with(token_head))
    return std::string("this is no Harp token; a token starts with H1.");
  if (text.size() > invite_text_bytes_max)
    return std::string("the token is too long; copy only the line that starts with H1.");
  auto bytes = from_base64(text.substr(token_head.size()));
  if (!bytes || bytes->size() <= check_bytes)
    return std::string(
        "the token has characters that do not belong to it, or an end is missing; copy it again");
  std::string_view body(*bytes);
  auto check = body.substr(body.size() - check_bytes);
  body.remove_suffix(check_bytes);
  invite_token out;
  if (check != check_of(body) || !read_token(body, out))
    return std::string("the token is not complete or was changed in copying; copy it again");
  return out;
}

invite_verdict invite_record::spend(const device_key& device, std::string_view name,
                                    uint64_t now_ms) {
  if (revoked)
    return invite_verdict::revoked;
  auto same = [&](const invite_use& use) { return use.device == device; };
  // The answer may have been lost on its way: asking again must not depend on time or on uses left.
  if (std::any_of(spent.begin(), spent.end(), same))
    return invite_verdict::granted_again;
  if (now_ms >= expiry_ms)
    return invite_verdict::expired;
  if (uses_left == 0)
    return invite_verdict::used_up;
  --uses_left;
  spent.push_back({device, std::string(name.substr(0, device_name_bytes_max)), now_ms});
  return invite_verdict::granted;
}

std::string invite_record::encode() const {
  byte_writer out;
  out.u8(record_format);
  out.id(secret_hash);
  out.u8(static_cast<uint8_t>(role));
  out.varint(spaces.size());
  for (const auto& space : spaces)
    out.id(space);
  out.blob(user);
  out.u64(made_ms);
  out.u64(expiry_ms);
  out.u32(uses_left);
  out.flag(revoked);
  out.varint(spent.size());
  for (const auto& use : spent) {
    out.id(use.device);
    out.blob(use.name);
    out.u64(use.at_ms);
  }
  return out.take();
}

std::optional<invite_record> invite_record::decode(std::string_view bytes) {
  byte_reader in{bytes};
  invite_record out;
  bool known = in.u8() == record_format;
  out.secret_hash = in.id<digest256>();
  auto role = in.u8();
  out.spaces.resize(in.count(invite_spaces_max, space_id::size));
  for (auto& space : out.spaces)
    space = in.id<space_id>();
  out.user = in.blob(user_bytes_max);
  out.made_ms = in.u64();
  out.expiry_ms = in.u64();
  out.uses_left = in.u32();
  out.revoked = in.flag();
  out.spent.resize(in.count(invite_uses_max, device_key::size + 9));
  for (auto& use : out.spent) {
    use.device = in.id<device_key>();
    use.name = in.blob(device_name_bytes_max);
    use.at_ms = in.u64();
  }
  if (!known || !in.done() || !is_role(role))
    return std::nullopt;
  out.role = static_cast<member_role>(role);
  return out;
}

} // namespace harp
