// Bytes of node records.
#include "storage/node_record.hpp"

#include "storage/byte_codec.hpp"

namespace harp {

namespace {

constexpr uint8_t record_format = 1;

std::string_view signed_part(std::string_view raw) {
  return raw.substr(0, raw.size() - signature::size);
}

bool read_record(byte_reader& in, node_record& out) {
  if (in.u8() != record_format)
    return false;
  out.device = in.id<device_key>();
  out.counter = in.u64();
  out.addresses.resize(in.count(node_addresses_max));
  for (auto& address : out.addresses) {
    address = in.blob(node_address_bytes_max);
    if (address.empty())
      in.fail();
  }
  out.apps.resize(in.count(node_apps_max, 4));
  for (auto& app : out.apps) {
    app.id = in.blob(node_app_id_bytes_max);
    app.port = in.u16();
    if (app.id.empty())
      in.fail();
  }
  return in.done();
}

} // namespace

bool sealed_node_record::verify() const {
  auto sig = *signature::from_view(std::string_view(raw).substr(raw.size() - signature::size));
  return verify_signature(record.device, sign_as::node, signed_part(raw), sig);
}

std::variant<sealed_node_record, std::string> seal_node_record(node_record record,
                                                               const signing_key& key) {
  record.device = key.public_key();
  byte_writer out;
  out.u8(record_format);
  out.id(record.device);
  out.u64(record.counter);
  out.varint(record.addresses.size());
  for (const auto& address : record.addresses)
    out.blob(address);
  out.varint(record.apps.size());
  for (const auto& app : record.apps) {
    out.blob(app.id);
    out.u16(app.port);
  }
  out.id(key.sign(sign_as::node, out.bytes()));
  return decode_node_record(out.bytes());
}

std::variant<sealed_node_record, std::string> decode_node_record(std::string_view raw) {
  if (raw.size() > node_record_bytes_max || raw.size() <= signature::size)
    return "a node record of " + std::to_string(raw.size()) + " bytes";
  sealed_node_record out;
  byte_reader in{signed_part(raw)};
  if (!read_record(in, out.record))
    return std::string("a node record that breaks the format or a limit");
  out.raw = raw;
  return out;
}

} // namespace harp
