#include "storage/node_store.hpp"

#include <sodium.h>

#include <algorithm>

namespace harp {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::hours copy_interval{1};
constexpr std::string_view invite_prefix = "invite/";

space_id random_space() {
  space_id out;
  randombytes_buf(out.bytes.data(), out.bytes.size());
  return out;
}

std::string invite_key(const digest256& hash) {
  return std::string{invite_prefix} + hash.to_string();
}

std::optional<invite_record> find_invite(const space_store& cluster, const digest256& hash) {
  std::optional<invite_record> out;
  cluster.read([&](const read_txn& txn, space_rows&) {
    if (auto row = txn.get(table::conf, invite_key(hash)))
      out = invite_record::decode(*row);
  });
  return out;
}

void put_invite(space_store& cluster, const invite_record& record) {
  cluster.write([&](write_txn& txn, space_rows&) { txn.put(table::conf, invite_key(record.secret_hash), record.encode()); });
}

enrol_ack_message refused(enrol_status status, std::string text) {
  enrol_ack_message out;
  out.status = status;
  out.text = std::move(text);
  return out;
}

enrol_ack_message refused(invite_verdict verdict) {
  switch (verdict) {
    case invite_verdict::expired:
      return refused(enrol_status::expired, "this invite has expired; ask for a new one");
    case invite_verdict::used_up:
      return refused(enrol_status::used_up, "this invite was spent already; ask for a new one");
    case invite_verdict::revoked:
      return refused(enrol_status::revoked, "this invite was taken back; ask for a new one");
    case invite_verdict::granted:
    case invite_verdict::granted_again:
      break;
  }
  return refused(enrol_status::failed, "the governor could not write its roster; try again");
}

} // namespace

node_store::node_store(fs::path dir, signing_key device) : dir_(std::move(dir)), device_(std::move(device)) {}

std::variant<std::shared_ptr<node_store>, std::string> node_store::open(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir / "spaces", error);
  if (error)
    return "the directory " + dir.string() + " cannot be made: " + error.message();
  fs::permissions(dir, fs::perms::owner_all, error);
  auto key_file = (dir / "device.key").string();
  if (!fs::exists(key_file)) {
    if (auto trouble = signing_key::make().save(key_file))
      return *trouble;
  }
  auto device = signing_key::load(key_file);
  if (auto* trouble = std::get_if<std::string>(&device))
    return *trouble;
  std::shared_ptr<node_store> out{new node_store{dir, std::move(std::get<signing_key>(device))}};
  auto governor_file = (dir / "governor.key").string();
  if (fs::exists(governor_file)) {
    auto governor = signing_key::load(governor_file);
    if (auto* trouble = std::get_if<std::string>(&governor))
      return *trouble;
    out->governor_ = std::move(std::get<signing_key>(governor));
  }
  auto conf = node_conf::load((dir / "node.json").string());
  if (auto* trouble = std::get_if<std::string>(&conf))
    return *trouble;
  out->conf_ = std::move(std::get<std::optional<node_conf>>(conf));
  if (auto trouble = out->open_contents())
    return *trouble;
  if (auto trouble = out->open_spaces())
    return *trouble;
  return out;
}

std::optional<std::string> node_store::open_contents() {
  auto db = metadata_db::open(dir_ / "chunks", environment::chunks);
  if (auto* broken = std::get_if<storage_failure>(&db))
    return "the index of contents cannot be opened: " + broken->what;
  chunks_ = std::make_unique<metadata_db>(std::move(std::get<metadata_db>(db)));
  index_ = std::make_unique<chunk_index>(*chunks_);
  auto packs = pack_store::open(dir_ / "packs", *index_);
  if (auto* broken = std::get_if<storage_failure>(&packs))
    return "the packs cannot be opened: " + broken->what;
  packs_ = std::move(std::get<std::unique_ptr<pack_store>>(packs));
  care_ = std::make_unique<content_care>(*packs_);
  care_->use([this] { return cared_spaces(); });
  return std::nullopt;
}

// -- spaces ----------------------------------------------------------------------------------------------------------------

std::optional<std::string> node_store::open_spaces() {
  if (!conf_)
    return std::nullopt;
  for (const auto& entry : fs::directory_iterator{dir_ / "spaces"}) {
    auto id = space_id::parse(entry.path().filename().string());
    if (!id || !entry.is_directory())
      continue;
    auto opened = open_space(*id, conf_->governor);
    if (auto* trouble = std::get_if<std::string>(&opened))
      return *trouble;
  }
  if (!spaces_.contains(conf_->cluster))
    return "the cluster space is missing in " + dir_.string() + "; restore it from a backup, or join again with a new state directory";
  return std::nullopt;
}

std::variant<space_store*, std::string> node_store::open_space(const space_id& id, const device_key& founder) {
  if (spaces_.size() >= environments_open_max)
    return "this node holds " + std::to_string(spaces_.size()) + " spaces, more than it can keep open; remove one with `harp space rm`";
  auto opened = space_store::open(dir_ / "spaces" / id.to_string(), id, founder, device_);
  if (auto* trouble = std::get_if<std::string>(&opened))
    return *trouble;
  auto* out = std::get<std::unique_ptr<space_store>>(opened).get();
  spaces_[id] = std::move(std::get<std::unique_ptr<space_store>>(opened));
  return out;
}

space_store* node_store::find(const space_id& id) const {
  auto found = spaces_.find(id);
  return found == spaces_.end() ? nullptr : found->second.get();
}

std::shared_ptr<space_store> node_store::share(const space_id& id) const {
  auto found = spaces_.find(id);
  return found == spaces_.end() ? nullptr : found->second;
}

space_store* node_store::find(const std::string& name, std::string& error) const {
  space_store* found = nullptr;
  for (auto* space : spaces()) {
    if (space->members()->name() != name && space->id().to_string() != name)
      continue;
    if (found != nullptr) {
      error = "several spaces are called " + name + "; name one by its id, see `harp space ls`";
      return nullptr;
    }
    found = space;
  }
  if (found == nullptr)
    error = "there is no space called " + name + " on this device; see `harp space ls`";
  return found;
}

std::vector<space_store*> node_store::spaces() const {
  std::vector<space_store*> out;
  for (const auto& [id, space] : spaces_)
    if (!conf_ || id != conf_->cluster)
      out.push_back(space.get());
  std::sort(out.begin(), out.end(), [](const auto* a, const auto* b) { return std::pair{a->members()->name(), a->id()} < std::pair{b->members()->name(), b->id()}; });
  return out;
}

std::variant<space_store*, std::string> node_store::create_space(const std::string& name, const std::string& user, uint64_t now_ms) {
  if (!governor_ || !conf_)
    return "only the node that founded the cluster makes spaces; run this there";
  for (auto* space : spaces())
    if (space->members()->name() == name)
      return "there is a space called " + name + " already; choose another name";
  auto opened = open_space(random_space(), governor_->public_key());
  if (auto* trouble = std::get_if<std::string>(&opened))
    return *trouble;
  auto* space = std::get<space_store*>(opened);
  roster_add_device self{1, device_.public_key(), member_role::admin, user, conf_->name, 0, true};
  for (const auto& change : {roster_change{roster_set_setting{std::string{roster_setting_name}, name}}, roster_change{self}, roster_change{roster_set_checkpointer{1}}})
    if (auto trouble = space->govern(change, now_ms, *governor_)) {
      auto dir = dir_ / "spaces" / space->id().to_string();
      spaces_.erase(space->id());
      fs::remove_all(dir);
      return *trouble;
    }
  return space;
}

std::variant<space_store*, std::string> node_store::learn_space(const space_id& id, const device_key& founder) {
  if (auto* known = find(id))
    return known;
  return open_space(id, founder);
}

void node_store::drop_space(const space_id& id) {
  spaces_.erase(id);
  pins_.erase(id);
  std::error_code ignored;
  fs::remove_all(dir_ / "spaces" / id.to_string(), ignored);
}

std::optional<std::string> node_store::save_conf(node_conf fresh) {
  if (auto trouble = fresh.save((dir_ / "node.json").string()))
    return trouble;
  conf_ = std::move(fresh);
  return std::nullopt;
}

// -- founding and joining ----------------------------------------------------------------------------------------------------

std::optional<std::string> node_store::found(const std::string& name, const std::string& listen, const std::string& user, uint64_t now_ms) {
  if (conf_)
    return governor_ ? "this node founded a cluster already; go on with `harp space create` and `harp invite`"
                     : "this node has joined a cluster already; use another --state for a new one";
  if (!governor_) {
    auto key = signing_key::make();
    if (auto trouble = key.save((dir_ / "governor.key").string()))
      return trouble;
    governor_ = std::move(key);
  }
  auto opened = open_space(random_space(), governor_->public_key());
  if (auto* trouble = std::get_if<std::string>(&opened))
    return *trouble;
  auto* space = std::get<space_store*>(opened);
  roster_add_device self{1, device_.public_key(), member_role::keeper, user, name, 0, false};
  if (auto trouble = space->govern(roster_set_setting{std::string{roster_setting_name}, "cluster"}, now_ms, *governor_))
    return trouble;
  if (auto trouble = space->govern(self, now_ms, *governor_))
    return trouble;
  node_conf fresh;
  fresh.cluster = space->id();
  fresh.governor = governor_->public_key();
  fresh.name = name;
  fresh.listen = listen;
  return save_conf(std::move(fresh)); // only now is it founded: a crash before leaves a space that nobody names
}

std::optional<std::string> node_store::take_enrolment(const enrol_ack_message& ack, const std::string& name, const std::string& listen) {
  if (conf_ && conf_->cluster != ack.cluster)
    return "this node belongs to another cluster already; use another --state";
  for (const auto& given : ack.spaces) {
    if (given.founder != ack.governor)
      return "the governor's answer contradicts itself: a space with another founder";
    auto opened = learn_space(given.space, given.founder);
    if (auto* trouble = std::get_if<std::string>(&opened))
      return *trouble;
    auto taken = std::get<space_store*>(opened)->take_roster(given.entries);
    if (auto* trouble = std::get_if<std::string>(&taken))
      return "the governor's answer does not verify: " + *trouble;
  }
  if (!find(ack.cluster) || find(ack.cluster)->own() == 0)
    return "the governor's answer does not list this device";
  node_conf fresh = conf_.value_or(node_conf{});
  fresh.cluster = ack.cluster;
  fresh.governor = ack.governor;
  fresh.name = name;
  fresh.listen = listen;
  fresh.addresses = ack.addresses;
  return save_conf(std::move(fresh));
}

std::optional<std::string> node_store::add_member(space_store& space, const device_key& device, const std::string& name, const invite_record& invite,
                                                  uint64_t now_ms) {
  if (space.members()->rid_of(device) != 0)
    return std::nullopt;
  auto role = invite.role;
  if (space.id() == conf_->cluster) // in the cluster: what a node may do for others
    role = role == member_role::keeper ? member_role::keeper : role == member_role::admin ? member_role::admin : member_role::reader;
  roster_add_device change{space.members()->next_rid(), device, role, invite.user, name, 0, true};
  return space.govern(change, now_ms, *governor_);
}

/// Out under the number that a checkpoint cut, in under a new one, as what it was.
std::optional<std::string> node_store::renew_member(space_store& space, const device_key& device, uint64_t now_ms) {
  auto rid = space.members()->rid_of(device);
  auto cuts = space.cuts();
  auto cut = cuts.find(rid);
  if (rid == 0 || cut == cuts.end() || space.members()->cut_of(rid))
    return std::nullopt; // what the governor cut itself stays cut
  auto now = *space.members()->member(rid);
  if (auto why = space.govern(roster_revoke{rid, cut->second}, now_ms, *governor_))
    return why;
  roster_add_device again{space.members()->next_rid(), device, now.role, now.user, now.name, now.not_after, now.pairing};
  return space.govern(again, now_ms, *governor_);
}

enrol_ack_message node_store::enrolled(const device_key& device, const std::vector<space_store*>& into, const std::vector<std::string>& own_addresses) const {
  enrol_ack_message out;
  out.governor = governor_->public_key();
  out.cluster = conf_->cluster;
  out.addresses = own_addresses;
  size_t bytes = 0;
  for (auto* space : into) {
    enrolled_space given{space->id(), space->members()->rid_of(device), space->members()->founder(), {}};
    // A long roster does not fit one frame: what is left comes by the link, newest entries need the older ones first.
    given.entries = space->members()->entries_from(1, (control_payload_bytes_max - 32 * 1024) / into.size());
    for (const auto& entry : given.entries)
      bytes += entry.size();
    out.spaces.push_back(std::move(given));
  }
  out.status = bytes < control_payload_bytes_max ? enrol_status::done : enrol_status::failed;
  return out;
}

enrol_ack_message node_store::enrol(const enrol_message& asked, uint64_t now_ms, const std::vector<std::string>& own_addresses) {
  if (!governor_ || !conf_)
    return refused(enrol_status::failed, "this node does not govern a cluster");
  std::vector<space_store*> into{cluster()};
  if (asked.secret.is_zero()) {
    if (cluster()->members()->role_of(asked.device) == member_role::none)
      return refused(enrol_status::unknown, "this device is no member; ask for an invite");
    for (auto* space : spaces())
      if (space->members()->rid_of(asked.device) != 0 && into.size() < enrol_spaces_max)
        into.push_back(space);
    for (auto* space : into)
      if (renew_member(*space, asked.device, now_ms))
        return refused(invite_verdict::granted);
    return enrolled(asked.device, into, own_addresses);
  }
  auto record = find_invite(*cluster(), invite_hash_of(asked.secret));
  if (!record)
    return refused(enrol_status::unknown, "this invite is not known here; was it copied whole?");
  auto verdict = record->spend(asked.device, asked.name, now_ms);
  if (verdict != invite_verdict::granted && verdict != invite_verdict::granted_again)
    return refused(verdict);
  put_invite(*cluster(), *record); // before any roster: an invite is never spent by two
  for (const auto& id : record->spaces)
    if (auto* space = find(id))
      into.push_back(space);
  for (auto* space : into)
    if (add_member(*space, asked.device, asked.name, *record, now_ms))
      return refused(invite_verdict::granted);
  return enrolled(asked.device, into, own_addresses);
}

// -- invites -----------------------------------------------------------------------------------------------------------------

std::variant<invite_token, std::string> node_store::make_invite(invite_record wanted, uint64_t now_ms, std::vector<std::string> addresses) {
  if (!governor_ || !conf_)
    return "only the node that founded the cluster invites; run this there";
  if (addresses.size() > invite_addresses_max)
    addresses.resize(invite_addresses_max);
  invite_token token;
  token.governor = governor_hash_of(governor_->public_key());
  token.secret = invite_token::make_secret();
  token.role = wanted.role;
  token.expiry_ms = wanted.expiry_ms;
  token.uses = wanted.uses_left;
  token.addresses = std::move(addresses);
  wanted.secret_hash = invite_hash_of(token.secret);
  wanted.made_ms = now_ms;
  put_invite(*cluster(), wanted);
  return token;
}

std::vector<invite_record> node_store::invites() const {
  std::vector<invite_record> out;
  if (cluster() != nullptr)
    cluster()->read([&](const read_txn& txn, space_rows&) {
      txn.each_prefix(table::conf, invite_prefix, [&](std::string_view, std::string_view value) {
        if (auto record = invite_record::decode(value))
          out.push_back(std::move(*record));
        return true;
      });
    });
  return out;
}

std::optional<std::string> node_store::revoke_invite(const std::string& id) {
  for (auto& record : invites())
    if (record.id() == id) {
      record.revoked = true;
      put_invite(*cluster(), record);
      return std::nullopt;
    }
  return "there is no invite " + id + "; see `harp invite ls`";
}

std::map<space_id, std::shared_ptr<const roster>> node_store::rosters() const {
  std::map<space_id, std::shared_ptr<const roster>> out;
  for (const auto& [id, space] : spaces_)
    out.emplace(id, space->members());
  return out;
}

std::vector<cared_space> node_store::cared_spaces() const {
  std::vector<cared_space> out;
  if (!conf_)
    return out;
  auto keeps = [](member_role role) { return role == member_role::keeper || role == member_role::admin; };
  bool keeper = cluster() != nullptr && keeps(cluster()->members()->role_of(cluster()->own()));
  for (const auto& [id, space] : spaces_) {
    auto pinned = pins_.find(id);
    out.push_back({space, keeper || keeps(space->members()->role_of(space->own())), pinned == pins_.end() ? std::vector<content_id>{} : pinned->second()});
  }
  return out;
}

bool node_store::look_after(std::chrono::system_clock::time_point now) {
  auto seconds = static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  auto more = care_->step(seconds);
  if (auto* failure = std::get_if<storage_failure>(&more))
    throw *failure;
  bool soon = std::get<bool>(more);
  if (index_->due(std::chrono::steady_clock::now()))
    if (auto trouble = index_->flush())
      throw *trouble;
  if (now - copied_ < copy_interval && copied_ != std::chrono::system_clock::time_point{})
    return soon;
  bool first = copied_ == std::chrono::system_clock::time_point{};
  copied_ = now;
  if (first) // a start is no reason to copy
    return soon;
  for (const auto& [id, space] : spaces_)
    if (auto trouble = space->db().keep_copy())
      throw *trouble;
  return soon;
}

} // namespace harp
