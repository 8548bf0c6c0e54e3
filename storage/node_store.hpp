// Everything the storage plane of this node keeps on disk: keys, configuration, spaces, contents. One per state directory.
#pragma once

#include "storage/content_care.hpp"
#include "storage/invite.hpp"
#include "storage/node_conf.hpp"
#include "storage/pack_store.hpp"
#include "storage/signing.hpp"
#include "storage/space_store.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace harp {

/// Owned by the store's thread. Layout of `dir`: device.key, governor.key (founder only), node.json, spaces/<id>/.
class node_store {
public:
  /// Opens what is there; a node that was neither founded nor joined has only its device key, made now.
  static std::variant<std::shared_ptr<node_store>, std::string> open(const std::filesystem::path& dir);

  [[nodiscard]] const signing_key& device() const { return device_; }
  [[nodiscard]] const signing_key* governor() const { return governor_ ? &*governor_ : nullptr; }
  /// Nothing before init or join.
  [[nodiscard]] const std::optional<node_conf>& conf() const { return conf_; }
  [[nodiscard]] bool is_member() const { return conf_.has_value(); }

  /// Makes this node the founder of a cluster. Repeating a founding that was cut short completes it.
  std::optional<std::string> found(const std::string& name, const std::string& listen, const std::string& user, uint64_t now_ms);
  /// The joiner's side: takes what the governor answered.
  std::optional<std::string> take_enrolment(const enrol_ack_message& ack, const std::string& name, const std::string& listen);
  /// The governor's side of Enrol: judges the invite, writes rosters. Repeated with the same secret and device it answers the same.
  /// Without a secret: a device that is known. Where a checkpoint cut its number it gets a new one (storage.md 5.4).
  enrol_ack_message enrol(const enrol_message& asked, uint64_t now_ms, const std::vector<std::string>& own_addresses);

  // -- spaces
  [[nodiscard]] space_store* find(const space_id& id) const;
  /// To be kept by readers on other threads.
  [[nodiscard]] std::shared_ptr<space_store> share(const space_id& id) const;
  /// By display name; the id in hex also counts. Null when none or several bear it: `error` says which.
  [[nodiscard]] space_store* find(const std::string& name, std::string& error) const;
  [[nodiscard]] space_store* cluster() const { return conf_ ? find(conf_->cluster) : nullptr; }
  [[nodiscard]] std::vector<space_store*> spaces() const; // without the cluster space, by name
  std::variant<space_store*, std::string> create_space(const std::string& name, const std::string& user, uint64_t now_ms);
  /// A space that the governor lists this device in, learned from a peer: opened with what came.
  std::variant<space_store*, std::string> learn_space(const space_id& id, const device_key& founder);
  /// Forgets a learned space with everything of it.
  void drop_space(const space_id& id);
  std::optional<std::string> save_conf(node_conf fresh);

  // -- governor
  std::variant<invite_token, std::string> make_invite(invite_record wanted, uint64_t now_ms, std::vector<std::string> addresses);
  [[nodiscard]] std::vector<invite_record> invites() const;
  std::optional<std::string> revoke_invite(const std::string& id);

  /// Contents outside users' files: history, manifests, Trash.
  [[nodiscard]] pack_store& packs() const { return *packs_; }
  /// Where chunks lie in users' files, and in packs.
  [[nodiscard]] chunk_index& places() const { return *index_; }

  /// Rosters of all spaces, for hot_rosters.
  [[nodiscard]] std::map<space_id, std::shared_ptr<const roster>> rosters() const;
  /// What becomes of contents with time: garbage, scrub.
  [[nodiscard]] content_care& care() const { return *care_; }
  /// Contents of this space that are wanted, being read or on their way: not garbage. Asked on the store's thread.
  void pin(const space_id& id, std::function<std::vector<content_id>()> pinned) { pins_[id] = std::move(pinned); }
  /// Periodic care: hourly copies, a step of collection and scrub. True when there is more to do soon.
  bool look_after(std::chrono::system_clock::time_point now);

private:
  node_store(std::filesystem::path dir, signing_key device);
  std::optional<std::string> open_spaces();
  std::optional<std::string> open_contents();
  [[nodiscard]] std::vector<cared_space> cared_spaces() const;
  std::variant<space_store*, std::string> open_space(const space_id& id, const device_key& founder);
  std::optional<std::string> renew_member(space_store& space, const device_key& device, uint64_t now_ms);
  enrol_ack_message enrolled(const device_key& device, const std::vector<space_store*>& into, const std::vector<std::string>& own_addresses) const;
  std::optional<std::string> add_member(space_store& space, const device_key& device, const std::string& name, const invite_record& invite, uint64_t now_ms);

  std::filesystem::path dir_;
  signing_key device_;
  std::optional<signing_key> governor_;
  std::optional<node_conf> conf_;
  std::map<space_id, std::shared_ptr<space_store>> spaces_;
  std::unique_ptr<metadata_db> chunks_;
  std::unique_ptr<chunk_index> index_;
  std::unique_ptr<pack_store> packs_;
  std::unique_ptr<content_care> care_;
  std::map<space_id, std::function<std::vector<content_id>()>> pins_;
  std::chrono::system_clock::time_point copied_{};
};

} // namespace harp
