#include "storage/chunk_source.hpp"

#include "storage/digest.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>

namespace harp {

namespace {

chunk_refusal refuse(chunk_trouble why, std::string what) {
  return {why, std::move(what)};
}

bool is_as_seen(int fd, const file_stat& seen) {
  auto now = stat_of(fd);
  const auto* stat = std::get_if<file_stat>(&now);
  return stat != nullptr && stat->kind == disk_kind::file && untouched(*stat, seen);
}

/// How much a refusal says: the one that tells most is passed on.
int weight(chunk_trouble why) {
  switch (why) {
  case chunk_trouble::absent:
    return 0;
  case chunk_trouble::changed:
    return 1;
  case chunk_trouble::unreadable:
    return 2;
  case chunk_trouble::damaged:
    return 3;
  }
  return 0;
}

chunk_answer read_packed(pack_store& packs, const placed_chunk& chunk) {
  auto data = packs.get(chunk.ref.id);
  if (auto* bytes = std::get_if<std::string>(&data)) {
    if (bytes->size() == chunk.ref.bytes)
      return std::move(*bytes);
    return refuse(chunk_trouble::damaged,
                  "the packed chunk has another length than its content says");
  }
  const auto& failure = std::get<storage_failure>(data);
  if (failure.code == ENOENT)
    return refuse(chunk_trouble::absent, failure.what);
  return refuse(failure.code == EBADMSG ? chunk_trouble::damaged : chunk_trouble::unreadable,
                failure.what);
}

} // namespace

chunk_answer read_in_place(const in_place_file& file, const placed_chunk& chunk) {
  if (chunk.ref.bytes > cut_bytes_max)
    return refuse(chunk_trouble::absent, "no chunk is that long");
  auto opened = file.root->open_file(file.path, O_RDONLY);
  if (auto* failure = std::get_if<storage_failure>(&opened)) {
    bool gone = failure->code == ENOENT || failure->code == ENOTDIR || failure->code == ELOOP
                || failure->code == EXDEV;
    return refuse(gone ? chunk_trouble::changed : chunk_trouble::unreadable, failure->what);
  }
  int fd = std::get<unique_fd>(opened).get();
  if (!is_as_seen(fd, file.seen))
    return refuse(chunk_trouble::changed, "the file was changed since it was observed");
  std::string bytes(chunk.ref.bytes, '\0');
  auto n = read_at(fd, bytes.data(), bytes.size(), chunk.offset);
  if (n < 0)
    return refuse(chunk_trouble::unreadable, file_failure("cannot read the file").what);
  if (!is_as_seen(fd, file.seen))
    return refuse(chunk_trouble::changed, "the file was changed while it was read");
  if (static_cast<size_t>(n) != bytes.size() || chunk_id_of(bytes) != chunk.ref.id)
    return refuse(chunk_trouble::damaged,
                  "the file looks unchanged but its bytes are not those of its version");
  return bytes;
}

chunk_answer read_chunk(const content_places& places, const placed_chunk& chunk) {
  chunk_refusal worst{chunk_trouble::absent, "this chunk is not here"};
  auto keep = [&](chunk_answer& answer) {
    auto* refusal = std::get_if<chunk_refusal>(&answer);
    if (refusal != nullptr && weight(refusal->why) > weight(worst.why))
      worst = std::move(*refusal);
    return refusal == nullptr;
  };
  if (places.partial != nullptr && places.partial->has(chunk.no)) {
    auto bytes = places.partial->read(chunk);
    if (bytes)
      return std::move(*bytes);
    worst = refuse(chunk_trouble::damaged, "the downloaded chunk has another hash");
  }
  size_t tried = 0;
  for (const auto& file : places.files) {
    if (++tried > places_tried_max)
      break;
    auto answer = read_in_place(file, chunk);
    if (keep(answer))
      return answer;
  }
  if (places.packs != nullptr) {
    auto answer = read_packed(*places.packs, chunk);
    if (keep(answer))
      return answer;
  }
  return worst;
}

std::variant<std::string_view, chunk_refusal> content_reader::read(uint64_t offset,
                                                                   size_t bytes_max) {
  if (offset >= manifest_.root().size)
    return std::string_view{};
  if (held_.empty() || offset < at_.offset || offset >= at_.offset + held_.size()) {
    held_.clear();
    auto found = manifest_.chunk_at(offset);
    if (auto* error = std::get_if<std::string>(&found))
      return refuse(chunk_trouble::absent, *error);
    at_ = std::get<placed_chunk>(found);
    auto answer = read_chunk(places_, at_);
    if (auto* refusal = std::get_if<chunk_refusal>(&answer))
      return std::move(*refusal);
    held_ = std::move(std::get<std::string>(answer));
  }
  return std::string_view(held_).substr(offset - at_.offset, bytes_max);
}

} // namespace harp
