// What the calls of the storage plane share: reading arguments, failures, work on the store and in the pool; and their names.
#pragma once

#include "actors/bridge_pool.hpp"
#include "actors/bridge_storage_inside.hpp"
#include "storage/node_store.hpp"

#include <string>
#include <utility>
#include <variant>

namespace harp {

using answer_later = net::asio::awaitable<call_result>;
using storage_parts = bridge_storage::inside;

inline constexpr size_t listed_max = 10'000; // entries of one answer

/// A text argument; empty when it is absent. Throws json::exception when it is something else.
inline std::string text_argument(const json& arguments, const char* name) {
  return arguments.contains(name) ? arguments.at(name).get<std::string>() : std::string{};
}
inline bool flag_argument(const json& arguments, const char* name) {
  return arguments.contains(name) && arguments.at(name).get<bool>();
}

/// Wrong usage: the only failure with status 400.
inline call_failure wrong_usage(std::string error, std::string next) {
  return {400, std::move(error), std::move(next)};
}

/// A whole call as one job of the store: `work(node_store&) -> call_result`.
template <class Work>
answer_later at_store(storage_parts& in, Work work) {
  auto done = co_await in.on_store(std::move(work));
  if (auto* failure = std::get_if<1>(&done))
    co_return std::move(*failure);
  co_return std::get<0>(std::move(done));
}

/// The same in the pool, for what reads much: `work() -> call_result`, may throw storage_failure.
template <class Work>
answer_later at_pool(storage_parts& in, Work work) {
  auto guarded = [work = std::move(work)]() mutable -> call_result {
    try {
      return work();
    } catch (const storage_failure& broken) {
      return call_failure{503, "the disk could not be read: " + broken.what, "look at the health of the disk, then try again"};
    }
  };
  auto done = co_await in_pool(in.plane->pool, std::move(guarded));
  if (!done)
    co_return call_failure{503, "this node is stopping", "try again when it runs"};
  co_return std::move(*done);
}

/// A space and a path in it, to be kept over a suspension.
struct kept_path {
  std::shared_ptr<space_store> space;
  std::shared_ptr<space_content> content; // of the running space, else one made for this call
  std::string path;
  std::shared_ptr<const roster> members;  // as of then: the store's thread may replace it
  replica_id own = 0;
};
/// What `path` and `absolute` of the arguments mean.
net::asio::awaitable<std::variant<kept_path, call_failure>> kept_path_of(storage_parts& in, json arguments);
/// The contents of a space, with its folder when that can be opened. On the store's thread.
std::shared_ptr<space_content> contents_for(const storage_parts& in, const node_store& all, const space_id& id);
/// The spaces that a call is about: the named one, or all this device is a member of. On the store's thread.
std::variant<std::vector<std::shared_ptr<space_store>>, call_failure> spaces_meant(const node_store& all, const std::string& name);
/// Words for an edit that was refused.
call_failure refused_edit(edit_refusal why, const std::string& path);
std::string name_of_kind(node_kind kind);

// bridge_storage_calls.cpp
answer_later call_init(storage_parts& in, json arguments);
answer_later call_join(storage_parts& in, json arguments);
/// Starts the cluster after init or join; words when it cannot. Nothing to do for a call without a daemon.
net::asio::awaitable<std::string> start_plane(storage_parts& in);

// bridge_storage_members.cpp
answer_later call_invite(storage_parts& in, json arguments);
answer_later call_invite_ls(storage_parts& in, json arguments);
answer_later call_invite_revoke(storage_parts& in, json arguments);
answer_later call_member_ls(storage_parts& in, json arguments);
answer_later call_member_rename(storage_parts& in, json arguments);
answer_later call_member_revoke(storage_parts& in, json arguments);
answer_later call_member_role(storage_parts& in, json arguments);
answer_later call_member_token(storage_parts& in, json arguments);

// bridge_storage_spaces.cpp
answer_later call_space_create(storage_parts& in, json arguments);
answer_later call_space_add(storage_parts& in, json arguments);
answer_later call_space_ls(storage_parts& in, json arguments);
answer_later call_space_rm(storage_parts& in, json arguments);
answer_later call_select(storage_parts& in, json arguments);

// bridge_storage_history.cpp
answer_later call_history(storage_parts& in, json arguments);
answer_later call_restore(storage_parts& in, json arguments);
answer_later call_trash(storage_parts& in, json arguments);
answer_later call_rewind(storage_parts& in, json arguments);
answer_later call_notices(storage_parts& in, json arguments);

// bridge_storage_content.cpp, bridge_storage_put.cpp
answer_later call_open(storage_parts& in, json arguments);
answer_later call_put_begin(storage_parts& in, json arguments);
answer_later call_put_end(storage_parts& in, json arguments);

// bridge_storage_check.cpp
answer_later call_verify(storage_parts& in, json arguments);
answer_later call_repair(storage_parts& in, json arguments);

} // namespace harp
