#include "storage/picker_content.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

namespace harp {

namespace {

/// Differs from receiver to receiver and from chunk to chunk, equal in every run.
uint32_t tie_of(const chunk_id& id, replica_id own) {
  uint64_t x = std::hash<chunk_id>{}(id) ^ (uint64_t{own} * 0x9E3779B97F4A7C15ull);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return static_cast<uint32_t>(x ^ (x >> 31));
}

bool fits(std::span<const chunk_ref> chunks, uint64_t bytes) {
  uint64_t sum = 0;
  for (const auto& chunk : chunks) {
    if (chunk.bytes == 0 || chunk.bytes > chunk_bytes_max)
      return false;
    sum += chunk.bytes;
  }
  return sum == bytes;
}

} // namespace

picker_content::picker_content(content_want want, replica_id own)
    : want_(std::move(want)), own_(own) {
  if (want_.shape) {
    const auto given = std::move(*want_.shape);
    want_.shape.reset();
    shape(given); // a shape that does not fit is as good as none: the root is fetched
  }
}

bool picker_content::shape(const content_shape& given) {
  if (shaped_)
    return true;
  uint64_t chunks = given.chunks.size();
  if (!given.segments.empty()) {
    uint64_t bytes = 0;
    chunks = 0;
    for (const auto& segment : given.segments) {
      if (segment.chunks == 0 || segment.chunks > segment_chunks_max || segment.bytes > want_.size)
        return false;
      chunks += segment.chunks;
      bytes += segment.bytes;
    }
    if (!given.chunks.empty() || bytes != want_.size)
      return false;
  } else if (chunks > segment_chunks_max || !fits(given.chunks, want_.size)) {
    return false;
  }
  if (chunks > content_chunks_max)
    return false;
  shaped_ = true;
  chunks_ = static_cast<uint32_t>(chunks);
  segments_ = given.segments;
  if (segments_.empty() && chunks_ != 0)
    segments_.push_back({chunks_, want_.size});
  for (uint32_t i = 0, first = 0; i < segments_.size(); first += segments_[i++].chunks)
    firsts_.push_back(first);
  have_ = chunk_set(chunks_);
  asked_ = chunk_set(chunks_);
  if (!given.chunks.empty()) {
    loaded_.push_back({.index = 0, .first = 0, .bytes = {}, .tie = {}, .twin = {}});
    fill_loaded(loaded_.back(), given.chunks);
    flat_ = true;
  }
  for (auto& source : sources_)
    if (!source.complete) {
      source.has = chunk_set(chunks_);
      for (const auto& run : source.early) // a lie about one run does not void the others
        source.has.add({&run, 1});
      source.early = {};
    }
  recount();
  return true;
}

void picker_content::fill_loaded(loaded_segment& out, std::span<const chunk_ref> chunks) const {
  std::unordered_map<chunk_id, uint32_t> first_with;
  for (uint32_t i = 0; i < chunks.size(); ++i) {
    out.bytes.push_back(chunks[i].bytes);
    out.tie.push_back(tie_of(chunks[i].id, own_));
    const auto [at, is_new] = first_with.emplace(chunks[i].id, i);
    if (!is_new && out.twin.empty())
      for (uint32_t k = 0; k < i; ++k)
        out.twin.push_back(k);
    if (!out.twin.empty())
      out.twin.push_back(at->second);
    else if (!is_new)
      out.twin.push_back(at->second);
  }
}

bool picker_content::load(uint32_t index, std::span<const chunk_ref> chunks) {
  if (!shaped_ || index >= segments_.size() || chunks.size() != segments_[index].chunks
      || !fits(chunks, segments_[index].bytes))
    return false;
  std::erase_if(manifests, [index](const auto& wait) { return wait.index == index; });
  if (is_loaded(index) || !is_open || loaded_.size() >= loaded_segments_max)
    return true;
  loaded_.push_back({.index = index, .first = firsts_[index], .bytes = {}, .tie = {}, .twin = {}});
  fill_loaded(loaded_.back(), chunks);
  std::sort(loaded_.begin(), loaded_.end(),
            [](const auto& a, const auto& b) { return a.index < b.index; });
  return true;
}

void picker_content::open() {
  is_open = true;
  recount();
}

void picker_content::close() {
  is_open = false;
  if (!flat_)
    loaded_.clear();
  manifests.clear();
  root.reset();
  partial_ = {};
}

std::optional<uint32_t> picker_content::chunk_bytes(uint32_t no) const {
  const auto* segment = loaded_with(no);
  return segment == nullptr ? std::nullopt : std::optional{segment->bytes[no - segment->first]};
}

bool picker_content::had(uint32_t no, uint64_t bytes, std::vector<uint32_t>& twins) {
  if (!have_.add(no))
    return false;
  bytes_had_ += bytes;
  const auto* segment = loaded_with(no);
  if (segment == nullptr || segment->twin.empty())
    return true;
  const uint32_t leader = segment->twin[no - segment->first];
  for (uint32_t i = 0; i < segment->twin.size(); ++i)
    if (segment->twin[i] == leader && have_.add(segment->first + i)) {
      bytes_had_ += bytes;
      twins.push_back(segment->first + i);
    }
  return true;
}

void picker_content::lost(uint32_t no) {
  if (have_.remove(no))
    bytes_had_ -= std::min<uint64_t>(bytes_had_, chunk_bytes(no).value_or(mean_bytes()));
}

uint64_t picker_content::mean_bytes() const {
  return chunks_ == 0 ? 0 : want_.size / chunks_;
}

bool picker_content::in_pool(const loaded_segment& segment, uint32_t no) const {
  if (have_.has(no) || asked_.has(no))
    return false;
  if (segment.twin.empty())
    return true;
  // A twin comes with its leader; alone it is missing only after a resume or a loss.
  const uint32_t leader = segment.twin[no - segment.first] + segment.first;
  return leader == no || have_.has(leader);
}

bool picker_content::in_pool(uint32_t no) const {
  const auto* segment = loaded_with(no);
  return segment != nullptr && in_pool(*segment, no);
}

bool picker_content::has_pool() const {
  for (const auto& segment : loaded_)
    for (uint32_t i = 0; i < segment.bytes.size(); ++i)
      if (in_pool(segment, segment.first + i))
        return true;
  return false;
}

uint64_t picker_content::pool_bytes() const {
  const uint64_t taken = uint64_t{have_.count()} + asked_.count();
  return taken >= chunks_ ? 0 : (chunks_ - taken) * mean_bytes();
}

// -- segments -----------------------------------------------------------------------------------

const picker_content::loaded_segment* picker_content::find_loaded(uint32_t segment) const {
  auto found = std::find_if(loaded_.begin(), loaded_.end(),
                            [segment](const auto& one) { return one.index == segment; });
  return found == loaded_.end() ? nullptr : &*found;
}

const picker_content::loaded_segment* picker_content::loaded_with(uint32_t no) const {
  for (const auto& segment : loaded_)
    if (no >= segment.first && no - segment.first < segment.bytes.size())
      return &segment;
  return nullptr;
}

std::optional<uint32_t> picker_content::segment_of(uint32_t no) const {
  if (no >= chunks_)
    return std::nullopt;
  auto after = std::upper_bound(firsts_.begin(), firsts_.end(), no);
  return static_cast<uint32_t>(after - firsts_.begin() - 1);
}

std::optional<std::pair<uint32_t, uint64_t>> picker_content::segment_at(uint64_t offset) const {
  uint64_t before = 0;
  for (uint32_t i = 0; i < segments_.size(); ++i) {
    if (offset < before + segments_[i].bytes)
      return std::pair{i, before};
    before += segments_[i].bytes;
  }
  return std::nullopt;
}

bool picker_content::segment_has_pool(uint32_t index) const {
  const uint32_t end = firsts_[index] + segments_[index].chunks;
  if (const auto* loaded = find_loaded(index)) {
    for (uint32_t no = have_.next_absent(firsts_[index]); no < end; no = have_.next_absent(no + 1))
      if (in_pool(*loaded, no))
        return true;
    return false;
  }
  for (uint32_t no = have_.next_absent(firsts_[index]); no < end; no = have_.next_absent(no + 1))
    if (!asked_.has(no))
      return true;
  return false;
}

std::vector<uint32_t> picker_content::to_load(std::span<const uint32_t> preferred) {
  if (!shaped_ || flat_ || !is_open)
    return {};
  std::vector<uint32_t> wanted;
  const auto consider = [&](uint32_t index) {
    if (wanted.size() < loaded_segments_max && segment_has_pool(index)
        && std::find(wanted.begin(), wanted.end(), index) == wanted.end())
      wanted.push_back(index);
  };
  for (auto index : preferred)
    consider(index);
  for (uint32_t i = next_segment(); i < segments_.size() && wanted.size() < loaded_segments_max;
       ++i)
    consider(i);
  const auto is_wanted = [&](uint32_t index) {
    return std::find(wanted.begin(), wanted.end(), index) != wanted.end();
  };
  std::erase_if(loaded_, [&](const auto& one) { return !is_wanted(one.index); });
  std::erase_if(manifests, [&](const auto& one) {
    return one.state != manifest_state::asked && !is_wanted(one.index);
  });
  std::erase_if(wanted, [&](uint32_t index) {
    return is_loaded(index)
           || std::any_of(manifests.begin(), manifests.end(),
                          [index](const auto& wait) { return wait.index == index; });
  });
  while (!wanted.empty() && loaded_.size() + manifests.size() + wanted.size() > loaded_segments_max)
    wanted.pop_back();
  return wanted;
}

uint32_t picker_content::next_segment() const {
  return segment_of(have_.next_absent(0)).value_or(static_cast<uint32_t>(segments_.size()));
}

// -- choice -------------------------------------------------------------------------------------

std::optional<chunk_choice>
picker_content::choose(const content_source& from, bool ascending, uint64_t bytes_max,
                       const std::function<bool(uint32_t)>& skip) const {
  const auto takes = [&](const loaded_segment& segment, uint32_t no) {
    return in_pool(segment, no) && from.has_chunk(no) && !(skip && skip(no));
  };
  const loaded_segment* in = nullptr;
  uint32_t best = 0, best_rarity = 0, best_tie = 0;
  for (const auto& segment : loaded_) {
    const uint32_t end = segment.first + static_cast<uint32_t>(segment.bytes.size());
    for (uint32_t no = have_.next_absent(segment.first); no < end; no = have_.next_absent(no + 1)) {
      const uint32_t rare = ascending ? 0 : rarity(no), tie = segment.tie[no - segment.first];
      if (in != nullptr
          && (ascending || rare > best_rarity || (rare == best_rarity && tie >= best_tie)))
        continue;
      if (!takes(segment, no))
        continue;
      in = &segment;
      best = no;
      best_rarity = rare;
      best_tie = tie;
    }
    if (in != nullptr && ascending)
      break;
  }
  if (in == nullptr)
    return std::nullopt;
  chunk_choice out{best, 1, in->bytes[best - in->first]};
  const auto grow = [&](uint32_t no) {
    if (!takes(*in, no) || (!ascending && rarity(no) != best_rarity)
        || out.bytes + in->bytes[no - in->first] > bytes_max)
      return false;
    out.bytes += in->bytes[no - in->first];
    ++out.count;
    return true;
  };
  const uint32_t end = in->first + static_cast<uint32_t>(in->bytes.size());
  for (uint32_t no = best + 1; no < end && grow(no); ++no) {
  }
  while (out.first > in->first && grow(out.first - 1))
    --out.first;
  return out;
}

} // namespace harp
