// frp's key derivation, digest and CFB stream; vectors of frp.md 3 and 10.
#define CAF_SUITE frp_crypto
#include "net/frp_crypto.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

namespace frp = harp::net::frp;

namespace {

std::string hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) {
    out += digits[c >> 4];
    out += digits[c & 15];
  }
  return out;
}

std::string unhex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string{text.substr(i, 2)}, nullptr, 16));
  return out;
}

std::string key_hex(std::string_view token) {
  const auto key = frp::derive_key(token);
  return hex({static_cast<const char*>(static_cast<const void*>(key.data())), key.size()});
}

frp::cipher_iv counting_iv(unsigned char first) {
  frp::cipher_iv out;
  for (auto& byte : out)
    byte = first++;
  return out;
}

std::string cipher(std::string_view token, const frp::cipher_iv& iv, std::string text,
                   frp::cfb_stream::direction way) {
  frp::cfb_stream stream{frp::derive_key(token), iv, way};
  CAF_REQUIRE(stream.apply(text.data(), text.size()));
  return text;
}

constexpr auto encrypt = frp::cfb_stream::direction::encrypt;
constexpr auto decrypt = frp::cfb_stream::direction::decrypt;

} // namespace

CAF_TEST(derives_the_published_keys) {
  CAF_CHECK_EQUAL(key_hex(""), "cdc9dc4c472c37331281df4c232a8407");
  CAF_CHECK_EQUAL(key_hex(std::string_view{}), "cdc9dc4c472c37331281df4c232a8407");
  CAF_CHECK_EQUAL(key_hex("12345678"), "b7eac3f66310824c114f56f8274fdfea");
  CAF_CHECK_EQUAL(key_hex("s3cr3t-token"), "c15031e693b99418ffdc9a9a75ce2c1a");
}

CAF_TEST(computes_the_published_privilege_keys) {
  CAF_CHECK_EQUAL(frp::privilege_key("", 1'700'000'000), "24920decf83f6960b80f737a28eeafc1");
  CAF_CHECK_EQUAL(frp::privilege_key("12345678", 1'700'000'000),
                  "3d8aac6cc09d79da303be74c311e5808");
}

CAF_TEST(enciphers_the_published_ping) {
  const std::string ping = unhex("6800000000000000027b7d");
  CAF_CHECK_EQUAL(hex(cipher("", counting_iv(0), ping, encrypt)), "9130610abcb682c5556510");
  CAF_CHECK_EQUAL(hex(cipher("12345678", counting_iv(0), ping, encrypt)), "4498a24026e4cf47613434");
}

CAF_TEST(deciphers_the_transcript_cut_anywhere) {
  const std::string wire
      = unhex("000102030405060708090a0b0c0d0e0f"
              "8b30610abcb682c5556510"
              "0e04400c67877e6c4905178d29d7d134fdb5f6745f7ce242bb553388b9f82175603c2598"
              "e85149baf0e2cbf934e3761f018930527b984d"
              "11799fe0995d1cbe7fcc75");
  const std::string plain = unhex("7200000000000000027b7d") + unhex("32000000000000002e")
                            + R"({"proxy_name":"exapp1","remote_addr":":23001"})"
                            + unhex("7200000000000000027b7d");
  for (size_t cut = 0; cut <= wire.size(); ++cut) {
    frp::cfb_reader reader{frp::derive_key("")};
    std::string out;
    for (std::string part : {wire.substr(0, cut), wire.substr(cut)}) {
      const auto got = reader.read(part.data(), part.size());
      CAF_REQUIRE(got >= 0);
      out += part.substr(0, static_cast<size_t>(got));
    }
    CAF_CHECK_EQUAL(hex(out), hex(plain));
  }
  frp::cfb_reader reader{frp::derive_key("")};
  std::string out;
  for (char c : wire)
    if (reader.read(&c, 1) == 1)
      out += c;
  CAF_CHECK_EQUAL(hex(out), hex(plain));
}

CAF_TEST(deciphers_what_the_client_sends_in_the_transcript) {
  const std::string wire
      = unhex("4d6bc19e410a086216c060cb5d17fcc3bcbac8ec4c4be0570540441ea174e8e830d9ea9057"
              "cd815cce52225b4ed7e9e4b6fd7ba55fdec02bc2f8e6ce11a6d62e83f05cb2778224");
  CAF_CHECK_EQUAL(cipher("", counting_iv(0x10), wire, decrypt),
                  unhex("70000000000000003e")
                      + R"({"proxy_name":"exapp1","proxy_type":"tcp","remote_port":23001})");
}

CAF_TEST(writer_and_reader_agree_in_random_pieces) {
  const unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  const auto key = frp::derive_key("t");
  frp::cfb_writer writer{key};
  frp::cfb_reader reader{key};
  std::string sent, wire, got;
  for (int i = 0; i < 200; ++i) {
    std::string part(random() % 100 + 1, '\0');
    for (auto& c : part)
      c = static_cast<char>(random());
    sent += part;
    const size_t at = wire.size();
    wire += part;
    CAF_REQUIRE(writer.seal(wire, at));
  }
  CAF_CHECK_EQUAL(wire.size(), sent.size() + frp::cipher_iv_bytes);
  CAF_CHECK(wire.find(sent.substr(0, 20)) == std::string::npos);
  for (size_t at = 0; at < wire.size();) {
    std::string part = wire.substr(at, random() % 40 + 1);
    at += part.size();
    const auto n = reader.read(part.data(), part.size());
    CAF_REQUIRE(n >= 0);
    got += part.substr(0, static_cast<size_t>(n));
  }
  CAF_CHECK(got == sent);
}

CAF_TEST(another_token_gives_garbage) {
  const std::string wire = cipher("a", counting_iv(0), "0123456789", encrypt);
  CAF_CHECK(cipher("b", counting_iv(0), wire, decrypt) != "0123456789");
}

CAF_TEST(fresh_ivs_differ) {
  CAF_CHECK(frp::random_iv() != frp::random_iv());
}

CAF_TEST(compares_whole_texts) {
  CAF_CHECK(frp::equal_in_constant_time("abc", "abc"));
  CAF_CHECK(!frp::equal_in_constant_time("abc", "abd"));
  CAF_CHECK(!frp::equal_in_constant_time("abc", "ab"));
  CAF_CHECK(frp::equal_in_constant_time("", ""));
}
