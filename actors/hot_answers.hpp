// Answers that most requests need, published by their owning actors as immutable snapshots: reading takes no ask.
#pragma once

#include "actors/exapp_record.hpp"
#include "actors/messages.hpp"
#include "net/control.hpp"
#include "storage/types.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace harp {

inline constexpr size_t users_kept_max = 16'384;
inline constexpr size_t user_shards = 16;

struct text_hash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

/// A value that one actor replaces and everybody reads.
template <class Value>
class published {
public:
  [[nodiscard]] std::shared_ptr<const Value> read() const { return value_.load(std::memory_order_acquire); }
  void write(Value next) { value_.store(std::make_shared<const Value>(std::move(next)), std::memory_order_release); }

private:
  std::atomic<std::shared_ptr<const Value>> value_{std::make_shared<const Value>()};
};

/// What is known of an app. `closed`: Nextcloud withdrew it, only signed requests pass until the next push.
struct known_app {
  std::shared_ptr<const exapp_record> record; // null: must be asked for
  std::shared_ptr<const net::upstream> direct; // the record's host and port
  bool closed = false;
};

using record_map = std::unordered_map<std::string, known_app, text_hash, std::equal_to<>>; // lower-case app id
using ban_map = std::unordered_map<ip_address, int64_t>; // ban key -> until, ms since the epoch
using tunnel_map = std::unordered_map<uint16_t, std::shared_ptr<const net::upstream>>; // port -> running proxy

/// User info within its life. Thread-safe; bounded: a full shard forgets its oldest entries first.
class user_cache {
public:
  struct hit {
    std::shared_ptr<const user_info> user; // null: anonymous
  };
  [[nodiscard]] std::optional<hit> find(const credential_hash& key, int64_t now_ms) const;
  void put(const credential_hash& key, std::shared_ptr<const user_info> user, int64_t until_ms, int64_t now_ms);
  void clear();
  [[nodiscard]] size_t size() const;

private:
  struct entry {
    std::shared_ptr<const user_info> user;
    int64_t until_ms = 0;
  };
  struct key_hash {
    size_t operator()(const credential_hash& key) const;
  };
  struct shard {
    mutable std::mutex mutex;
    std::unordered_map<credential_hash, entry, key_hash> entries;
  };
  [[nodiscard]] shard& of(const credential_hash& key) const { return shards_[key[0] % user_shards]; }
  mutable std::array<shard, user_shards> shards_;
};

struct hot_answers {
  published<record_map> records; // registry
  published<tunnel_map> tunnels; // registry
  published<ban_map> bans;       // gatekeeper
  user_cache users;              // gatekeeper
  std::atomic<bool> nextcloud_answers{true}; // last word of the registry and gatekeeper, for /readyz
};

} // namespace harp
