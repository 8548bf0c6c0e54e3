// Encodes and decodes by the fields that peer_fields.hpp names.
#include "storage/peer_codec.hpp"

#include "storage/peer_fields.hpp"

#include <cstring>
#include <optional>

namespace harp {

namespace {

using namespace wire;

/// Which of two messages of one type number this is: the first byte of their payloads.
enum class half : uint8_t { request = 0, answer = 1 };

using decoded = std::variant<peer_message, decode_fault>;

decode_fault broken(uint8_t type) {
  return {false, "message " + std::to_string(type) + " breaks the format or a limit"};
}

template <class Message>
decoded read(message_type type, std::string_view payload) {
  Message message;
  field_reader in{payload};
  fields(in, message);
  if (!in.done())
    return broken(static_cast<uint8_t>(type));
  return peer_message{std::move(message)};
}

/// One of two messages that share a type number.
template <class Request, class Answer>
decoded read_half(message_type type, std::string_view payload) {
  if (payload.empty() || static_cast<uint8_t>(payload.front()) > static_cast<uint8_t>(half::answer))
    return broken(static_cast<uint8_t>(type));
  bool answer = static_cast<uint8_t>(payload.front()) == static_cast<uint8_t>(half::answer);
  payload.remove_prefix(1);
  return answer ? read<Answer>(type, payload) : read<Request>(type, payload);
}

template <class M>
std::optional<half> half_of() {
  if constexpr (is<M, snapshot_request_message> || is<M, ping_message> || is<M, enrol_message>)
    return half::request;
  else if constexpr (is<M,
                        snapshot_part_message> || is<M, pong_message> || is<M, enrol_ack_message>)
    return half::answer;
  else
    return std::nullopt;
}

} // namespace

message_type type_of(const peer_message& message) {
  using t = message_type;
  // in the order of peer_message
  constexpr std::array types{
      t::hello,    t::hello_ack, t::roster, t::head,       t::want_ops, t::ops,  t::nack,
      t::snapshot, t::snapshot,  t::have,   t::have_delta, t::want,     t::data, t::missing,
      t::busy,     t::cancel,    t::safe,   t::punch,      t::relay,    t::ping, t::ping,
      t::bye,      t::beat,      t::enrol,  t::enrol,      t::node,     t::open, t::recheck};
  static_assert(types.size() == std::variant_size_v<peer_message>);
  return types[message.index()];
}

std::string encode_payload(const peer_message& message) {
  field_writer out;
  std::visit(
      [&](const auto& one) {
        if (auto which = half_of<std::decay_t<decltype(one)>>())
          out.number(*which);
        fields(out, one);
      },
      message);
  return out.take();
}

std::array<char, data_head_bytes> encode_data_head(const data_message& message) {
  field_writer out;
  const data_message bare{message.cid, message.chunk, message.offset, message.last, {}};
  fields(out, bare);
  std::array<char, data_head_bytes> head{};
  std::memcpy(head.data(), out.take().data(), head.size());
  return head;
}

size_t payload_bytes_max(message_type type, bool before_trust) {
  switch (type) {
  case message_type::ops:
  case message_type::snapshot:
  case message_type::want:
  case message_type::data:
  case message_type::missing:
  case message_type::cancel:
    return data_payload_bytes_max;
  case message_type::enrol:
    return before_trust ? enrol_payload_bytes_max : control_payload_bytes_max;
  default:
    return control_payload_bytes_max;
  }
}

std::variant<peer_message, decode_fault> decode_payload(uint8_t type, std::string_view payload) {
  auto known = static_cast<message_type>(type);
  if (payload.size() > payload_bytes_max(known))
    return decode_fault{false, "message " + std::to_string(type) + " of "
                                   + std::to_string(payload.size()) + " bytes is too large"};
  switch (known) {
  case message_type::hello:
    return read<hello_message>(known, payload);
  case message_type::hello_ack:
    return read<hello_ack_message>(known, payload);
  case message_type::roster:
    return read<roster_message>(known, payload);
  case message_type::head:
    return read<head_message>(known, payload);
  case message_type::want_ops:
    return read<want_ops_message>(known, payload);
  case message_type::ops:
    return read<ops_message>(known, payload);
  case message_type::nack:
    return read<nack_message>(known, payload);
  case message_type::snapshot:
    return read_half<snapshot_request_message, snapshot_part_message>(known, payload);
  case message_type::have:
    return read<have_message>(known, payload);
  case message_type::have_delta:
    return read<have_delta_message>(known, payload);
  case message_type::want:
    return read<want_message>(known, payload);
  case message_type::data:
    return read<data_message>(known, payload);
  case message_type::missing:
    return read<missing_message>(known, payload);
  case message_type::busy:
    return read<busy_message>(known, payload);
  case message_type::cancel:
    return read<cancel_message>(known, payload);
  case message_type::safe:
    return read<safe_message>(known, payload);
  case message_type::punch:
    return read<punch_message>(known, payload);
  case message_type::relay:
    return read<relay_message>(known, payload);
  case message_type::ping:
    return read_half<ping_message, pong_message>(known, payload);
  case message_type::bye:
    return read<bye_message>(known, payload);
  case message_type::beat:
    return read<beat_message>(known, payload);
  case message_type::enrol:
    return read_half<enrol_message, enrol_ack_message>(known, payload);
  case message_type::node:
    return read<node_message>(known, payload);
  case message_type::open:
    return read<open_message>(known, payload);
  case message_type::recheck:
    return read<recheck_message>(known, payload);
  }
  return decode_fault{true, "message " + std::to_string(type) + " is not known to this Harp"};
}

} // namespace harp
