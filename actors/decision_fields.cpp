// The fields that go with a decision: identity towards the app, credentials towards Nextcloud.
#include "actors/decision.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>

namespace harp {

namespace {

using net::field_id;

constexpr std::string_view session_cookie = "oc_sessionPassphrase";
constexpr size_t base64_bytes_max
    = sodium_base64_ENCODED_LEN(credential_bytes_max, sodium_base64_VARIANT_ORIGINAL);


std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  size_t first = text.find_first_not_of(blanks);
  if (first == text.npos)
    return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_field_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
}

void append_line(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

/// base64(user:token) into `out` without touching the heap.
std::string_view encode_credential(const decision& allowed,
                                   std::array<char, base64_bytes_max>& out) {
  std::array<char, credential_bytes_max> plain;
  char* end = std::copy(allowed.user_id.begin(), allowed.user_id.end(), plain.data());
  *end++ = ':';
  end = std::copy(allowed.token.begin(), allowed.token.end(), end);
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(plain.data()),
                    static_cast<size_t>(end - plain.data()), sodium_base64_VARIANT_ORIGINAL);
  sodium_memzero(plain.data(), plain.size());
  return out.data();
}

bool can_be_carried(const decision& allowed) {
  return is_field_value(allowed.app_id) && is_field_value(allowed.version)
         && is_field_value(allowed.credential) && is_carriable_user_id(allowed.user_id)
         && allowed.user_id.size() + 1 + allowed.token.size() <= credential_bytes_max;
}

bool asks_who(field_id id) {
  return id == field_id::cookie || id == field_id::authorization;
}

bool is_forwarding(std::string_view name) {
  constexpr std::string_view prefix = "x-forwarded-";
  return name == "x-real-ip" || name.substr(0, prefix.size()) == prefix;
}

void hash_value(crypto_generichash_state& state, std::string_view label, std::string_view value) {
  std::array<unsigned char, 8> length{};
  uint64_t bytes = value.size();
  std::memcpy(length.data(), &bytes, sizeof bytes);
  auto add = [&state](std::string_view text) {
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(text.data()),
                              text.size());
  };
  add(label);
  crypto_generichash_update(&state, length.data(), length.size());
  add(value);
}

} // namespace

bool append_app_fields(const decision& allowed, std::string& out) {
  if (!can_be_carried(allowed))
    return false;
  append_line(out, "ex-app-id", allowed.app_id);
  append_line(out, "ex-app-version", allowed.version);
  if (allowed.is_signed) {
    append_line(out, "authorization-app-api", allowed.credential);
  } else {
    std::array<char, base64_bytes_max> text;
    append_line(out, "authorization-app-api", encode_credential(allowed, text));
    sodium_memzero(text.data(), text.size());
  }
  append_line(out, "aa-version", aa_version);
  return true;
}

std::string_view session_passphrase(const net::request_head& head) {
  std::string_view found;
  for (const auto& field : head.fields) {
    if (field.id != field_id::cookie)
      continue;
    for (std::string_view rest = field.value; !rest.empty();) {
      size_t end = std::min(rest.find(';'), rest.size());
      std::string_view pair = trim(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      size_t equals = pair.find('=');
      if (equals != pair.npos && trim(pair.substr(0, equals)) == session_cookie)
        found = trim(pair.substr(equals + 1));
    }
  }
  return found;
}

bool has_user_credentials(const net::request_head& head) {
  return head.has(field_id::authorization) || !session_passphrase(head).empty();
}

user_cache_key user_info_key(const net::request_head& head, std::string_view app_id) {
  user_cache_key key{};
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, key.size());
  hash_value(state, "app", app_id);
  for (const auto& field : head.fields) {
    if (asks_who(field.id))
      hash_value(state, field.id == field_id::cookie ? "cookie" : "authorization", field.value);
  }
  crypto_generichash_final(&state, key.data(), key.size());
  return key;
}

std::vector<std::pair<std::string, std::string>> user_info_fields(const net::request_head& head,
                                                                  bool pass_forwarding) {
  std::vector<std::pair<std::string, std::string>> result;
  std::string cookies;
  for (const auto& field : head.fields) {
    if (field.id == field_id::cookie) {
      cookies.append(cookies.empty() ? "" : "; ").append(field.value);
      continue;
    }
    bool passes = field.id == field_id::authorization || field.name == "user-agent"
                  || field.name == "accept-language"
                  || (pass_forwarding && is_forwarding(field.name));
    if (passes)
      result.emplace_back(field.name, field.value);
  }
  if (!cookies.empty())
    result.emplace_back("cookie", std::move(cookies));
  return result;
}

} // namespace harp
