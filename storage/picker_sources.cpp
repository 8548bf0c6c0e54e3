// Who has what of one wanted content, and how rare each chunk is.
#include "storage/picker_content.hpp"

#include <algorithm>
#include <utility>

namespace harp {

const content_source* picker_content::source(replica_id peer) const {
  auto found = std::lower_bound(sources_.begin(), sources_.end(), peer,
                                [](const auto& one, replica_id key) { return one.peer < key; });
  return found == sources_.end() || found->peer != peer ? nullptr : &*found;
}

content_source* picker_content::find_source(replica_id peer) {
  return const_cast<content_source*>(std::as_const(*this).source(peer));
}

void picker_content::count_source(const content_source& source, int sign) {
  if (!source.up)
    return;
  sources_up_ += static_cast<uint32_t>(sign);
  if (source.complete) {
    complete_up_ += static_cast<uint32_t>(sign);
    return;
  }
  if (!is_open || !shaped_)
    return;
  if (partial_.empty())
    partial_.resize(chunks_);
  for (uint32_t no = source.has.next(0); no < chunks_; no = source.has.next(no + 1))
    partial_[no] = static_cast<uint16_t>(partial_[no] + sign);
}

void picker_content::recount() {
  sources_up_ = complete_up_ = 0;
  partial_ = {};
  for (const auto& source : sources_)
    count_source(source, 1);
}

content_source& picker_content::make_source(replica_id peer, bool up) {
  auto at = std::lower_bound(sources_.begin(), sources_.end(), peer,
                             [](const auto& one, replica_id key) { return one.peer < key; });
  auto& made = *sources_.insert(at, content_source());
  made.peer = peer;
  made.up = up;
  made.has = chunk_set(chunks_);
  return made;
}

bool picker_content::set_source(replica_id peer, bool up, bool complete,
                                std::span<const chunk_run> runs) {
  auto* known = find_source(peer);
  if (known == nullptr)
    known = &make_source(peer, up);
  else
    count_source(*known, -1);
  known->up = up;
  known->complete = complete;
  known->early.clear();
  known->has = chunk_set(complete ? 0 : chunks_);
  bool sound = true;
  if (!complete && shaped_)
    sound = known->has.add(runs);
  else if (!complete && runs.size() <= early_runs_max)
    known->early.assign(runs.begin(), runs.end());
  count_source(*known, 1);
  return sound;
}

bool picker_content::source_gains(replica_id peer, bool up, std::span<const chunk_run> runs) {
  auto* known = find_source(peer);
  if (known == nullptr)
    return set_source(peer, up, false, runs);
  if (known->complete)
    return true;
  if (!shaped_) {
    if (known->early.size() + runs.size() > early_runs_max)
      return false;
    known->early.insert(known->early.end(), runs.begin(), runs.end());
    return true;
  }
  for (const auto& run : runs) {
    if (run.first >= chunks_ || run.count > chunks_ - run.first)
      return false;
    for (uint32_t no = run.first; no < run.first + run.count; ++no)
      if (known->has.add(no) && known->up && is_open) {
        if (partial_.empty())
          partial_.resize(chunks_);
        ++partial_[no];
      }
  }
  return true;
}

void picker_content::set_up(replica_id peer, bool up) {
  auto* known = find_source(peer);
  if (known == nullptr || known->up == up)
    return;
  count_source(*known, -1);
  known->up = up;
  count_source(*known, 1);
}

void picker_content::source_lacks(replica_id peer, std::span<const chunk_run> runs) {
  auto* known = find_source(peer);
  if (known == nullptr || !shaped_)
    return;
  count_source(*known, -1);
  if (known->complete) {
    known->complete = false;
    known->has = chunk_set(chunks_);
    known->has.add_all();
  }
  known->has.remove(runs);
  count_source(*known, 1);
  if (known->has.none())
    remove_source(peer);
}

void picker_content::remove_source(replica_id peer) {
  auto* known = find_source(peer);
  if (known == nullptr)
    return;
  count_source(*known, -1);
  sources_.erase(sources_.begin() + (known - sources_.data()));
}

} // namespace harp
