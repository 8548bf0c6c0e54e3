// The roster of one space: who may do what, a fold over signed entries (storage.md 5.3). Pure: no I/O, no clock.
#pragma once

#include "storage/op.hpp"
#include "storage/roster_entry.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr size_t roster_replicas_max = 65'536;
inline constexpr size_t roster_tokens_max = 65'536;
inline constexpr size_t roster_settings_max = 64;
inline constexpr uint64_t roster_entries_max = 1'000'000;

/// One enrolment of one device, as of the newest entry.
struct roster_member {
  replica_id rid = 0;
  device_key device;
  member_role role = member_role::none; // none once revoked
  std::string user;
  std::string name;
  uint64_t not_after = 0;
  bool pairing = false;
  std::optional<uint64_t> cut; // bundles above are void

  [[nodiscard]] bool is_revoked() const { return role == member_role::none; }
};

struct roster_token {
  std::string user;
  member_role role = member_role::none;
  uint64_t not_after = 0;
};

/// Why a bundle may not be applied.
enum class bundle_verdict : uint8_t {
  valid,
  roster_missing, // it names a roster version that is not here yet
  role_missing,   // its author had no writing role, or not the one an operation needs
  cut,            // a later entry voids it
};

/// Entries are appended in order; the same entries give the same roster on every node. One owner, no locks.
class roster {
public:
  /// `founder` is the governor key the space began with.
  roster(const space_id& space, const device_key& founder);

  /// Appends the next entry, or takes a newer lease. Checks chain, signature and sense. Nothing when done, and when the
  /// very same entry is here already; else why not, and the roster is unchanged.
  std::optional<std::string> append_signed(std::string_view raw);
  /// The governor's side: signs the change as the next entry and appends it. The raw bytes to store and send, or why not.
  std::variant<sealed_entry, std::string> append_change(const roster_change& change, uint64_t at_ms,
                                                        const signing_key& governor);

  [[nodiscard]] const space_id& space() const { return space_; }
  [[nodiscard]] uint64_t version() const { return entries_.size(); }
  [[nodiscard]] const device_key& founder() const { return founder_; }
  [[nodiscard]] const device_key& governor() const { return governor_; }
  /// The space's display name; empty when unset.
  [[nodiscard]] std::string name() const { return setting(roster_setting_name); }
  [[nodiscard]] std::string setting(std::string_view key) const;

  /// Raw entries from `version` (1 is the first), at most `bytes_max` together but at least one; then, when they reach
  /// the newest, the lease.
  [[nodiscard]] std::vector<std::string> entries_from(uint64_t version, size_t bytes_max) const;
  /// The newest lease as bytes; empty before the first.
  [[nodiscard]] const std::string& lease() const { return lease_raw_; }
  /// Unix ms until when this roster is vouched for; 0 before the first lease.
  [[nodiscard]] uint64_t leased_until() const { return leased_until_; }

  /// The judgement of storage.md 5.3 on author, role and cuts, also on operations that need more than writing: Adopt
  /// (pairing), Graft and Policy (admin), Checkpoint (the named keeper).
  [[nodiscard]] bundle_verdict judge(const bundle& b) const;
  /// May `rid` write bundle `seq` naming roster version `named`?
  [[nodiscard]] bool may_write(replica_id rid, uint64_t named, uint64_t seq) const;

  [[nodiscard]] const roster_member* member(replica_id rid) const; // null: unknown
  [[nodiscard]] member_role role_of(replica_id rid) const;
  /// The newest rid of a device that is still in; 0 when it has none.
  [[nodiscard]] replica_id rid_of(const device_key& device) const;
  /// The role of the newest rid of that device.
  [[nodiscard]] member_role role_of(const device_key& device) const;
  /// Bundles of `rid` above are void.
  [[nodiscard]] std::optional<uint64_t> cut_of(replica_id rid) const;
  [[nodiscard]] replica_id checkpointer() const { return checkpointer_; }
  /// A rid nobody has had.
  [[nodiscard]] replica_id next_rid() const {
    return members_.empty() ? 1 : members_.rbegin()->first + 1;
  }
  /// Everybody who ever had a rid, by rid.
  [[nodiscard]] std::vector<roster_member> members() const;
  /// The token with this hash, unless revoked or over at `now_ms`.
  [[nodiscard]] std::optional<roster_token> token(const digest256& hash, uint64_t now_ms) const;

private:
  struct role_step {
    uint64_t version = 0;
    uint64_t from_seq = 0;
    member_role role = member_role::none;
  };
  struct record {
    roster_member now;
    std::vector<role_step> steps;                 // rising version
    std::optional<uint64_t> pairing_ended_at_seq; // no Adopt from this bundle on
  };

  std::optional<std::string> append_link(sealed_entry sealed);
  std::optional<std::string> take_lease(const sealed_entry& sealed);
  std::optional<std::string> fold(const roster_entry& entry);
  std::optional<std::string> apply(const roster_entry& entry, const roster_add_device& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_rename& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_set_role& change);
  std::optional<std::string> apply(const roster_entry& entry,
                                   const roster_set_checkpointer& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_revoke& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_add_token& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_revoke_token& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_rotate_key& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_lease& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_end_pairing& change);
  std::optional<std::string> apply(const roster_entry& entry, const roster_set_setting& change);
  [[nodiscard]] static member_role role_at(const record& r, uint64_t named, uint64_t seq);
  [[nodiscard]] bool may_do(const bundle& b, const operation& op, const record& author,
                            member_role role) const;
  record* find(replica_id rid);
  [[nodiscard]] const record* find(replica_id rid) const;

  space_id space_;
  device_key founder_;
  device_key governor_;
  std::vector<std::string> entries_; // raw; [0] is version 1
  digest256 head_;                   // hash of the newest
  std::string lease_raw_;
  uint64_t leased_until_ = 0;
  std::map<replica_id, record> members_;
  std::map<device_key, replica_id> newest_; // of devices that are still in
  std::map<digest256, roster_token> tokens_;
  std::map<std::string, std::string, std::less<>> settings_;
  replica_id checkpointer_ = 0;
  std::vector<std::pair<uint64_t, replica_id>> checkpointers_; // (version, rid)
};

} // namespace harp
