// A volume of a test: chunks environment, index and packs in one directory, and chunks that can be made again.
#pragma once

#include "storage/digest.hpp"
#include "storage/pack_gc.hpp"
#include "storage/pack_store.hpp"

#include <memory>
#include <random>
#include <string>

namespace harp::test {

inline std::string chunk_data(uint64_t n, size_t size) {
  std::mt19937_64 random(n);
  std::string out(size, '\0');
  for (size_t i = 0; i < size; i += 8) {
    auto word = random();
    std::copy_n(reinterpret_cast<const char*>(&word), std::min<size_t>(8, size - i),
                out.data() + i);
  }
  return out;
}

/// Small packs, so that a few chunks fill one.
inline constexpr uint32_t pack_bytes = 4u << 20;

struct pack_world {
  std::unique_ptr<metadata_db> db;
  std::unique_ptr<chunk_index> index;
  std::unique_ptr<pack_store> packs;
  std::string trouble;

  explicit pack_world(const std::filesystem::path& dir) {
    auto opened = metadata_db::open(dir / "chunks", environment::chunks, {});
    if (auto* failure = std::get_if<storage_failure>(&opened)) {
      trouble = failure->what;
      return;
    }
    db = std::make_unique<metadata_db>(std::move(std::get<metadata_db>(opened)));
    index = std::make_unique<chunk_index>(*db);
    auto store = pack_store::open(dir / "packs", *index, pack_bytes);
    if (auto* failure = std::get_if<storage_failure>(&store))
      trouble = failure->what;
    else
      packs = std::move(std::get<std::unique_ptr<pack_store>>(store));
  }
  [[nodiscard]] explicit operator bool() const { return packs != nullptr; }

  chunk_id put(uint64_t n, size_t size = 3000) {
    auto data = chunk_data(n, size);
    auto id = chunk_id_of(data);
    if (packs->put(id, data))
      trouble = "put";
    return id;
  }
  bool gives(uint64_t n, size_t size = 3000) {
    auto data = chunk_data(n, size);
    auto got = packs->get(chunk_id_of(data));
    auto* bytes = std::get_if<std::string>(&got);
    return bytes != nullptr && *bytes == data;
  }
  bool collect(const gc_marks& marks, uint32_t now_s, sweep_report* report = nullptr) {
    pack_sweep sweep(*packs, marks, now_s);
    for (;;) {
      auto step = sweep.step();
      if (std::holds_alternative<storage_failure>(step)) {
        trouble = std::get<storage_failure>(step).what;
        return false;
      }
      if (std::get<bool>(step))
        break;
    }
    if (report != nullptr)
      *report = sweep.report();
    return true;
  }
};

} // namespace harp::test
