// The fold over roster entries, and the judgement of bundles by it.
#include "storage/roster.hpp"

#include <algorithm>

namespace harp {

roster::roster(const space_id& space, const device_key& founder)
    : space_(space), founder_(founder), governor_(founder) {}

std::optional<std::string> roster::append_signed(std::string_view raw) {
  auto decoded = decode_entry(raw);
  if (auto* fault = std::get_if<std::string>(&decoded))
    return *fault;
  auto& sealed = std::get<sealed_entry>(decoded);
  if (sealed.entry.space != space_)
    return "roster entry of another space";
  if (std::holds_alternative<roster_lease>(sealed.entry.change))
    return take_lease(sealed);
  if (sealed.entry.version <= version()) {
    if (entries_[sealed.entry.version - 1] == raw)
      return std::nullopt;
    return "roster entry " + std::to_string(sealed.entry.version)
           + " differs from the one known here; the governor key signed two, or somebody tampers";
  }
  return append_link(std::move(sealed));
}

std::optional<std::string> roster::append_link(sealed_entry sealed) {
  const auto& entry = sealed.entry;
  auto name = "roster entry " + std::to_string(entry.version);
  if (entry.version != version() + 1)
    return name + " came before entry " + std::to_string(version() + 1)
           + "; ask for the entries between";
  if (version() >= roster_entries_max)
    return name + " is one more than " + std::to_string(roster_entries_max);
  if (entry.previous != head_)
    return name + " does not follow the newest entry here";
  if (!verify_signature(governor_, sealed.hash, sealed.sig))
    return name + " is not signed by the governor of this space";
  if (auto fault = fold(entry))
    return name + ": " + *fault;
  head_ = sealed.hash;
  entries_.push_back(std::move(sealed.raw));
  return std::nullopt;
}

std::optional<std::string> roster::take_lease(const sealed_entry& sealed) {
  const auto& entry = sealed.entry;
  if (entry.version < version())
    return std::nullopt; // of an older roster: nothing it could tell
  if (entry.version > version() || entry.previous != head_)
    return "lease for roster version " + std::to_string(entry.version) + ", which is not here";
  if (!verify_signature(governor_, sealed.hash, sealed.sig))
    return "lease that is not signed by the governor of this space";
  auto until = std::get<roster_lease>(entry.change).until;
  if (until > leased_until_) {
    leased_until_ = until;
    lease_raw_ = sealed.raw;
  }
  return std::nullopt;
}

std::variant<sealed_entry, std::string>
roster::append_change(const roster_change& change, uint64_t at_ms, const signing_key& governor) {
  bool is_lease = std::holds_alternative<roster_lease>(change);
  if (is_lease && version() == 0)
    return std::string("a lease needs a roster entry before it");
  roster_entry entry{space_, is_lease ? version() : version() + 1, head_, at_ms, change};
  auto sealed = seal_entry(entry, governor);
  if (auto* made = std::get_if<sealed_entry>(&sealed)) {
    if (auto fault = append_signed(made->raw))
      return *fault;
  }
  return sealed;
}

std::optional<std::string> roster::fold(const roster_entry& entry) {
  return std::visit([&](const auto& change) { return apply(entry, change); }, entry.change);
}

std::optional<std::string> roster::apply(const roster_entry& entry,
                                         const roster_add_device& change) {
  if (members_.contains(change.rid))
    return "replica number " + std::to_string(change.rid) + " was given before";
  if (members_.size() >= roster_replicas_max)
    return "more than " + std::to_string(roster_replicas_max) + " replicas";
  if (newest_.contains(change.device))
    return "this device is a member already; revoke its old entry first";
  record added;
  added.now = {change.rid,  change.device,    change.role,    change.user,
               change.name, change.not_after, change.pairing, std::nullopt};
  added.steps.push_back({entry.version, 1, change.role});
  newest_[change.device] = change.rid;
  members_.emplace(change.rid, std::move(added));
  return std::nullopt;
}

std::optional<std::string> roster::apply(const roster_entry&, const roster_rename& change) {
  auto* found = find(change.rid);
  if (found == nullptr)
    return "no such replica";
  found->now.name = change.name;
  return std::nullopt;
}

std::optional<std::string> roster::apply(const roster_entry& entry, const roster_set_role& change) {
  auto* found = find(change.rid);
  if (found == nullptr || found->now.is_revoked())
    return "no such member";
  // Un-voiding what some nodes voided already could not be made equal everywhere.
  if (found->now.cut && harp::may_write(change.role))
    return "this device lost the right to write; revoke it and add it anew";
  if (!harp::may_write(change.role) && harp::may_write(found->now.role))
    found->now.cut = std::min(found->now.cut.value_or(UINT64_MAX), change.from_seq - 1);
  found->now.role = change.role;
  found->steps.push_back({entry.version, change.from_seq, change.role});
  return std::nullopt;
}

std::optional<std::string> roster::apply(const roster_entry& entry,
                                         const roster_set_checkpointer& change) {
  auto* found = find(change.rid);
  if (found == nullptr || found->now.role < member_role::keeper)
    return "only a keeper may checkpoint";
  checkpointer_ = change.rid;
  checkpointers_.emplace_back(entry.version, change.rid);
  return std::nullopt;
}

std::optional<std::string> roster::apply(const roster_entry&, const roster_revoke& change) {
  auto* found = find(change.rid);
  if (found == nullptr)
    return "no such replica";
  auto& now = found->now;
  // Equivocation may need a second, lower cut of a device that is out already.
  now.cut = std::min(now.cut.value_or(UINT64_MAX), change.cut_seq);
  now.role = member_role::none;
  auto newest = newest_.find(now.device);
  if (newest != newest_.end() && newest->second == change.rid)
    newest_.erase(newest);
  if (checkpointer_ == change.rid)
    checkpointer_ = 0;
  return std::nullopt;
}

std::optional<std::string> roster::apply(const roster_entry&, const roster_add_token& change) {
  if (tokens_.size() >= roster_tokens_max)
    return "more than " + std::to_string(roster_tokens_max) + " tokens";
  if (!tokens_.try_emplace(change.token, roster_token{change.user, change.role, change.not_after})
           .second)
    return "this token is known already";
  return std::nullopt;
}

std::optional<std::string> roster::apply(const roster_entry&, const roster_revoke_token& change) {
  return tokens_.erase(change.token) == 1 ? std::nullopt
                                          : std::optional<std::string>("no such token");
}

std::optional<std::string> roster::apply(const roster_entry&, const roster_rotate_key& change) {
  if (!is_rotation_proof(space_, change))
    return "the new governor key does not prove that somebody holds it";
  governor_ = change.key;
  return std::nullopt;
}

std::optional<std::string> roster::apply(const roster_entry&, const roster_lease&) {
  return "a lease is no link of the chain";
}

std::optional<std::string> roster::apply(const roster_entry&, const roster_end_pairing& change) {
  auto* found = find(change.rid);
  if (found == nullptr || !found->now.pairing)
    return "no such replica that is pairing";
  found->now.pairing = false;
  found->pairing_ended_at_seq = change.from_seq;
  return std::nullopt;
}

std::optional<std::string> roster::apply(const roster_entry&, const roster_set_setting& change) {
  if (change.value.empty()) {
    settings_.erase(change.key);
    return std::nullopt;
  }
  if (!settings_.contains(change.key) && settings_.size() >= roster_settings_max)
    return "more than " + std::to_string(roster_settings_max) + " settings";
  settings_[change.key] = change.value;
  return std::nullopt;
}

std::string roster::setting(std::string_view key) const {
  auto found = settings_.find(key);
  return found == settings_.end() ? "" : found->second;
}

std::vector<std::string> roster::entries_from(uint64_t from, size_t bytes_max) const {
  std::vector<std::string> out;
  size_t bytes = 0;
  uint64_t at = std::max<uint64_t>(from, 1);
  for (; at <= version(); ++at) {
    const auto& raw = entries_[at - 1];
    if (!out.empty() && bytes + raw.size() > bytes_max)
      return out;
    bytes += raw.size();
    out.push_back(raw);
  }
  if (!lease_raw_.empty())
    out.push_back(lease_raw_);
  return out;
}

member_role roster::role_at(const record& r, uint64_t named, uint64_t seq) {
  auto role = member_role::none;
  for (const auto& step : r.steps) {
    if (step.version <= named && step.from_seq <= seq)
      role = step.role;
  }
  return role;
}

bool roster::may_write(replica_id rid, uint64_t named, uint64_t seq) const {
  const auto* author = find(rid);
  return author != nullptr && named <= version() && seq <= author->now.cut.value_or(UINT64_MAX)
         && harp::may_write(role_at(*author, named, seq));
}

bundle_verdict roster::judge(const bundle& b) const {
  if (b.roster_version > version())
    return bundle_verdict::roster_missing;
  const auto* author = find(b.rid);
  if (author == nullptr)
    return bundle_verdict::role_missing;
  if (b.seq > author->now.cut.value_or(UINT64_MAX))
    return bundle_verdict::cut;
  auto role = role_at(*author, b.roster_version, b.seq);
  bool is_over = author->now.not_after != 0 && (b.hlc >> 16) > author->now.not_after;
  if (!harp::may_write(role) || is_over)
    return bundle_verdict::role_missing;
  bool may = std::all_of(b.ops.begin(), b.ops.end(),
                         [&](const operation& op) { return may_do(b, op, *author, role); });
  return may ? bundle_verdict::valid : bundle_verdict::role_missing;
}

bool roster::may_do(const bundle& b, const operation& op, const record& author,
                    member_role role) const {
  if (std::holds_alternative<op_graft>(op) || std::holds_alternative<op_policy>(op))
    return role == member_role::admin;
  if (std::holds_alternative<op_adopt>(op))
    return author.now.pairing || b.seq < author.pairing_ended_at_seq.value_or(0);
  if (!std::holds_alternative<op_checkpoint>(op))
    return true;
  replica_id named = 0;
  for (const auto& [version, rid] : checkpointers_) {
    if (version <= b.roster_version)
      named = rid;
  }
  return named == b.rid;
}

roster::record* roster::find(replica_id rid) {
  auto found = members_.find(rid);
  return found == members_.end() ? nullptr : &found->second;
}

const roster::record* roster::find(replica_id rid) const {
  auto found = members_.find(rid);
  return found == members_.end() ? nullptr : &found->second;
}

const roster_member* roster::member(replica_id rid) const {
  const auto* found = find(rid);
  return found == nullptr ? nullptr : &found->now;
}

member_role roster::role_of(replica_id rid) const {
  const auto* found = find(rid);
  return found == nullptr ? member_role::none : found->now.role;
}

replica_id roster::rid_of(const device_key& device) const {
  auto found = newest_.find(device);
  return found == newest_.end() ? 0 : found->second;
}

member_role roster::role_of(const device_key& device) const {
  return role_of(rid_of(device));
}

std::optional<uint64_t> roster::cut_of(replica_id rid) const {
  const auto* found = find(rid);
  return found == nullptr ? std::nullopt : found->now.cut;
}

std::vector<roster_member> roster::members() const {
  std::vector<roster_member> out;
  out.reserve(members_.size());
  for (const auto& [rid, known] : members_)
    out.push_back(known.now);
  return out;
}

std::optional<roster_token> roster::token(const digest256& hash, uint64_t now_ms) const {
  auto found = tokens_.find(hash);
  if (found == tokens_.end() || (found->second.not_after != 0 && found->second.not_after <= now_ms))
    return std::nullopt;
  return found->second;
}

} // namespace harp
