// Received bytes of a mux stream that nobody has read yet: a queue of chunks that weighs nothing
// when empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace harp::net {

inline constexpr size_t mux_chunk_bytes
    = 16 * 1024; // the payload of a stock client's largest frame
inline constexpr size_t mux_small_chunk_bytes = 1000;
inline constexpr size_t mux_spare_chunks_max = 64;

/// A block of memory behind its header. Owned by the list it is in.
struct mux_chunk {
  mux_chunk* next = nullptr;
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t capacity = 0;
  [[nodiscard]] char* bytes() { return reinterpret_cast<char*>(this + 1); }
};

/// Spare chunks of one session, at most mux_spare_chunks_max: malloc would give 16 KiB blocks back
/// to the system and ask for them again.
class mux_chunk_pool {
public:
  mux_chunk_pool() = default;
  mux_chunk_pool(const mux_chunk_pool&) = delete;
  mux_chunk_pool& operator=(const mux_chunk_pool&) = delete;
  ~mux_chunk_pool() { clear(); }
  /// A chunk for `bytes`: a small one when they fit there and `small` is allowed.
  mux_chunk* take(size_t bytes, bool small);
  /// Keeps or frees all of a list.
  void give(mux_chunk* list);
  void clear();

private:
  mux_chunk* first_ = nullptr;
  size_t count_ = 0;
};

/// A queue of bytes. Not thread-safe.
class mux_chunks {
public:
  mux_chunks() = default;
  mux_chunks(const mux_chunks&) = delete;
  mux_chunks& operator=(const mux_chunks&) = delete;
  ~mux_chunks();
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  void append(std::string_view bytes, mux_chunk_pool& pool);
  /// Moves at most `into.size()` bytes out; emptied chunks are put in front of the list `spent`.
  size_t read(std::span<char> into, mux_chunk*& spent);
  /// Takes everything of `other`, which is empty afterwards. This queue must be empty.
  void take(mux_chunks& other);
  /// Empties the queue into `pool`.
  void clear(mux_chunk_pool& pool);

private:
  mux_chunk* first_ = nullptr;
  mux_chunk* last_ = nullptr;
  size_t size_ = 0;
};

} // namespace harp::net
