// What frp may do to user data on a work stream: snappy, AES-CFB, a rate limit (frp.md 5).
#pragma once

#include "net/frp_crypto.hpp"
#include "net/stream.hpp"

#include <chrono>
#include <memory>
#include <mutex>

namespace harp::net::frp {

inline constexpr size_t transform_write_bytes_max = 16 * 1024; // user bytes packed at a time
inline constexpr size_t transform_read_bytes_max = 8 * 1024;   // wire bytes read at a time
inline constexpr size_t rate_grant_bytes = 4096; // smaller grants would be all overhead

/// `inner` with the layers in frp's order, data first through snappy, then the cipher. Without
/// either: `inner` itself. At most one chunk is held per direction. As with TLS, bytes that
/// try_write() did not take must be offered again.
stream_ptr wrap_transform(stream_ptr inner, bool encryption, bool compression,
                          const cipher_key& key);

/// A token bucket, rate = burst. Thread-safe: one per proxy, shared by its streams and both
/// directions.
class rate_bucket {
public:
  using time_point = std::chrono::steady_clock::time_point;
  rate_bucket(uint64_t bytes_per_s, time_point now);
  /// How many of `want` bytes may pass now; 0 = wait.
  size_t take(size_t want, time_point now);
  /// Returns what was taken and not used.
  void give_back(size_t bytes);
  /// Time until take() grants something; zero = now.
  std::chrono::nanoseconds delay(time_point now);

private:
  void fill(time_point now);
  std::mutex mutex_;
  double rate_;
  double tokens_;
  double grant_;
  time_point filled_at_;
};

/// `inner` held to the bucket's rate.
stream_ptr wrap_rate_limit(stream_ptr inner, std::shared_ptr<rate_bucket> bucket);

} // namespace harp::net::frp
