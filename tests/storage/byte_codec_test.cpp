#define CAF_SUITE byte_codec
#include "storage/byte_codec.hpp"

#include <caf/test/unit_test.hpp>

#include <vector>

using namespace harp;

namespace {

std::string hex(std::string_view bytes) {
  return to_hex(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string everything() {
  byte_writer out;
  out.u8(0xfe);
  out.u16(0x0102);
  out.u32(0x03040506);
  out.u64(0x0708090a0b0c0d0eull);
  out.i64(-2);
  out.flag(true);
  out.varint(300);
  out.blob("abc");
  out.id(dot{7, 200});
  out.id(stamp{0x1122334455667788ull, 9, 10});
  return out.take();
}

} // namespace

CAF_TEST(integers_are_little_endian_and_stamps_big_endian) {
  CAF_CHECK_EQUAL(hex(everything()),
                  "fe0201060504030e0d0c0b0a090807feffffffffffffff01ac020361626307000000c801"
                  "112233445566778800000009000a");
}

CAF_TEST(reads_back_what_was_written) {
  auto bytes = everything();
  byte_reader in{bytes};
  CAF_CHECK_EQUAL(in.u8(), 0xfe);
  CAF_CHECK_EQUAL(in.u16(), 0x0102);
  CAF_CHECK_EQUAL(in.u32(), 0x03040506u);
  CAF_CHECK_EQUAL(in.u64(), 0x0708090a0b0c0d0eull);
  CAF_CHECK_EQUAL(in.i64(), -2);
  CAF_CHECK(in.flag());
  CAF_CHECK_EQUAL(in.varint(), 300u);
  CAF_CHECK_EQUAL(std::string(in.blob(3)), "abc");
  CAF_CHECK(in.id<dot>() == (dot{7, 200}));
  CAF_CHECK(!in.done());
  CAF_CHECK(in.id<stamp>() == (stamp{0x1122334455667788ull, 9, 10}));
  CAF_CHECK(in.done());
}

CAF_TEST(every_cut_is_a_fault_that_sticks) {
  auto bytes = everything();
  for (size_t size = 0; size < bytes.size(); ++size) {
    byte_reader in{std::string_view(bytes).substr(0, size)};
    in.u8(), in.u16(), in.u32(), in.u64(), in.i64(), in.flag(), in.varint(), in.blob(3);
    in.id<dot>();
    in.id<stamp>();
    CAF_CHECK(!in.ok());
    CAF_CHECK_EQUAL(in.u64(), 0u);
    CAF_CHECK(!in.done());
  }
}

CAF_TEST(varints_have_one_form) {
  for (uint64_t value :
       {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{16383}, uint64_t{16384}, UINT64_MAX}) {
    byte_writer out;
    out.varint(value);
    byte_reader in{out.bytes()};
    CAF_CHECK_EQUAL(in.varint(), value);
    CAF_CHECK(in.done());
  }
  for (std::string_view bad : {std::string_view{"\x80\x00", 2}, std::string_view{"\xff\x80\x00", 3},
                               std::string_view{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"},
                               std::string_view{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01"},
                               std::string_view{"\x80"}}) {
    byte_reader in{bad};
    in.varint();
    CAF_CHECK(!in.ok());
  }
}

CAF_TEST(counts_and_blobs_are_bounded_before_anything_is_allocated) {
  byte_writer out;
  out.varint(1000);
  out.raw(std::string(999, 'x'));
  CAF_CHECK(!(byte_reader{out.bytes()}.blob(1000).size() == 1000));
  byte_reader too_many{out.bytes()};
  CAF_CHECK_EQUAL(too_many.count(999), 0u);
  CAF_CHECK(!too_many.ok());
  byte_reader too_little{out.bytes()};
  CAF_CHECK_EQUAL(too_little.count(5000, 1), 0u);
  CAF_CHECK(!too_little.ok());
  byte_writer fits;
  fits.varint(4);
  fits.raw("12345678");
  CAF_CHECK_EQUAL(byte_reader{fits.bytes()}.count(4, 2), 4u);
  CAF_CHECK_EQUAL(byte_reader{fits.bytes()}.count(4, 3), 0u);
  byte_reader huge{std::string_view{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10}};
  CAF_CHECK(huge.blob(SIZE_MAX).empty());
  CAF_CHECK(!huge.ok());
}

CAF_TEST(flags_are_zero_or_one) {
  byte_reader in{std::string_view{"\x02", 1}};
  CAF_CHECK(!in.flag());
  CAF_CHECK(!in.ok());
}
