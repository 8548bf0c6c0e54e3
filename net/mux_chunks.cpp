// Received bytes of a mux stream that nobody has read yet.
#include "net/mux_chunks.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace harp::net {

namespace {

mux_chunk* make_chunk(size_t capacity) {
  auto* chunk = new (::operator new(sizeof(mux_chunk) + capacity)) mux_chunk;
  chunk->capacity = static_cast<uint32_t>(capacity);
  return chunk;
}

void free_chunks(mux_chunk* list) {
  while (list != nullptr)
    ::operator delete(std::exchange(list, list->next));
}

} // namespace

mux_chunk* mux_chunk_pool::take(size_t bytes, bool small) {
  if (small && bytes <= mux_small_chunk_bytes)
    return make_chunk(mux_small_chunk_bytes);
  if (first_ == nullptr)
    return make_chunk(mux_chunk_bytes);
  --count_;
  mux_chunk* chunk = std::exchange(first_, first_->next);
  chunk->next = nullptr;
  chunk->begin = chunk->end = 0;
  return chunk;
}

void mux_chunk_pool::give(mux_chunk* list) {
  while (list != nullptr) {
    mux_chunk* chunk = std::exchange(list, list->next);
    if (chunk->capacity != mux_chunk_bytes || count_ == mux_spare_chunks_max) {
      ::operator delete(chunk);
      continue;
    }
    chunk->next = std::exchange(first_, chunk);
    ++count_;
  }
}

void mux_chunk_pool::clear() {
  free_chunks(std::exchange(first_, nullptr));
  count_ = 0;
}

mux_chunks::~mux_chunks() {
  free_chunks(first_);
}

void mux_chunks::append(std::string_view bytes, mux_chunk_pool& pool) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    if (last_ == nullptr || last_->end == last_->capacity) {
      mux_chunk* fresh = pool.take(bytes.size(), first_ == nullptr);
      (last_ == nullptr ? first_ : last_->next) = fresh;
      last_ = fresh;
    }
    size_t part = std::min<size_t>(bytes.size(), last_->capacity - last_->end);
    std::memcpy(last_->bytes() + last_->end, bytes.data(), part);
    last_->end += static_cast<uint32_t>(part);
    bytes.remove_prefix(part);
  }
}

size_t mux_chunks::read(std::span<char> into, mux_chunk*& spent) {
  size_t done = 0;
  while (first_ != nullptr && done < into.size()) {
    size_t part = std::min<size_t>(first_->end - first_->begin, into.size() - done);
    std::memcpy(into.data() + done, first_->bytes() + first_->begin, part);
    first_->begin += static_cast<uint32_t>(part);
    done += part;
    if (first_->begin < first_->end)
      break;
    mux_chunk* emptied = std::exchange(first_, first_->next);
    emptied->next = std::exchange(spent, emptied);
  }
  if (first_ == nullptr)
    last_ = nullptr;
  size_ -= done;
  return done;
}

void mux_chunks::take(mux_chunks& other) {
  first_ = std::exchange(other.first_, nullptr);
  last_ = std::exchange(other.last_, nullptr);
  size_ = std::exchange(other.size_, 0);
}

void mux_chunks::clear(mux_chunk_pool& pool) {
  pool.give(std::exchange(first_, nullptr));
  last_ = nullptr;
  size_ = 0;
}

} // namespace harp::net
