#include "actors/peer.hpp"

namespace harp {

space_id peer::space_of(const peer_message& what) {
  return std::visit(
    [](const auto& message) -> space_id {
      if constexpr (requires { message.beat.space; })
        return message.beat.space;
      else if constexpr (requires { message.space.bytes; })
        return message.space;
      else
        return {};
    },
    what);
}

member_role peer::role_in(const space_id& space) const {
  auto members = rosters_->of(space);
  return members && members->rid_of(self_) != 0 ? members->role_of(who_) : member_role::none;
}

peer::judged peer::judge(uint8_t type, uint8_t flags, std::string_view payload) const {
  auto decoded = decode_payload(type, payload);
  if (auto* fault = std::get_if<decode_fault>(&decoded)) {
    if (fault->unknown_type && (flags & frame_flag_optional) != 0)
      return ignored{"unknown optional message " + std::to_string(type)};
    return broken{"message " + std::to_string(type) + " cannot be read: " + fault->text};
  }
  auto message = std::make_shared<peer_message>(std::move(std::get<peer_message>(decoded)));
  peer_note note;
  note.from = who_;
  note.space = space_of(*message);
  note.what = message;
  if (auto* node = std::get_if<node_message>(message.get())) {
    auto members = rosters_->of(cluster_);
    if (!members || members->role_of(node->node.record.device) == member_role::none)
      return ignored{"a node record of a device that is no member"};
    return node->node.verify() ? judged{note} : broken{"a node record with a wrong signature"};
  }
  if (note.space.is_zero() || std::holds_alternative<roster_message>(*message))
    return note; // a roster carries its own proof: the governor's signature
  auto members = rosters_->of(note.space);
  if (role_in(note.space) == member_role::none)
    return ignored{"a message about a space that does not list both of us"};
  note.rid = members->rid_of(who_);
  if (auto* beat = std::get_if<beat_message>(message.get())) {
    const auto* author = members->member(beat->beat.rid);
    if (author == nullptr)
      return ignored{"a beat of a replica that is not known here yet"};
    return beat->beat.verify(author->device) ? judged{note} : broken{"a beat with a wrong signature"};
  }
  if (auto* ops = std::get_if<ops_message>(message.get()))
    return judge_ops(*ops, std::move(note));
  return note;
}

peer::judged peer::judge_ops(const ops_message& ops, peer_note note) const {
  auto members = rosters_->of(note.space);
  auto good = std::make_shared<std::vector<bundle_ptr>>();
  for (const auto& raw : ops.bundles) {
    auto decoded = decode_bundle(raw);
    if (auto* why = std::get_if<std::string>(&decoded))
      return broken{"a bundle cannot be read: " + *why};
    auto& sealed = std::get<sealed_bundle>(decoded);
    if (sealed.content.space != note.space)
      return broken{"a bundle of another space"};
    const auto* author = members->member(sealed.content.rid);
    if (author == nullptr)
      continue; // of a member whose entry has not come yet: it is asked for again
    if (!verify_bundle(sealed, author->device))
      return broken{"a bundle with a wrong signature"};
    good->push_back(std::make_shared<const sealed_bundle>(std::move(sealed)));
  }
  note.bundles = std::move(good);
  return note;
}

} // namespace harp
