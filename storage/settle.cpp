// Waiting times of storage.md 7.1 as one ordered set of due entries.
#include "storage/settle.hpp"

#include <algorithm>

namespace harp {

namespace {

bool is_below(std::string_view path, std::string_view dir) {
  return dir.empty() || path == dir
         || (path.size() > dir.size() && path.starts_with(dir) && path[dir.size()] == '/');
}

} // namespace

void settle::put(int64_t due_ms, disk_change change, bool open) {
  forget(change.path);
  due_.insert({due_ms, change.path});
  std::string path = change.path;
  entries_[std::move(path)] = {std::move(change), due_ms, open};
}

void settle::forget(std::string_view path) {
  auto found = entries_.find(path);
  if (found == entries_.end())
    return;
  due_.erase({found->second.due_ms, found->first});
  entries_.erase(found);
}

void settle::forget_below(std::string_view path) {
  for (auto at = entries_.lower_bound(path); at != entries_.end() && at->first.starts_with(path);) {
    auto here = at++;
    if (is_below(here->first, path)) {
      due_.erase({here->second.due_ms, here->first});
      entries_.erase(here);
    }
  }
}

/// A directory was renamed: what waits below it waits under its new path.
void settle::follow(const std::string& from, const std::string& to) {
  std::vector<entry> moved;
  for (auto at = entries_.lower_bound(from + "/");
       at != entries_.end() && is_below(at->first, from); ++at)
    moved.push_back(at->second);
  for (auto& each : moved) {
    forget(each.change.path);
    each.change.path = to + each.change.path.substr(from.size());
    put(each.due_ms, each.change, each.open);
  }
}

void settle::event(int64_t now_ms, watch_event what, std::string path, bool is_dir,
                   uint32_t cookie) {
  if (entries_.size() >= settle_entries_max && !entries_.contains(path)) {
    // too many: the directory is looked at as a whole
    auto cut = path.rfind('/');
    return lost(cut == path.npos ? std::string{} : path.substr(0, cut));
  }
  auto known = entries_.find(path);
  bool open = known != entries_.end() && known->second.open;
  disk_change change{disk_change::kind::changed, path, {}, is_dir};
  if (known != entries_.end() && known->second.change.what == disk_change::kind::moved)
    change = known->second.change; // still the same move, only later
  switch (what) {
  case watch_event::created:
  case watch_event::written:
    // created without a close yet (a link, a symlink, a directory) settles like a closed one
    return put(now_ms + (what == watch_event::written ? settle_open_ms : settle_closed_ms), change,
               what == watch_event::written);
  case watch_event::closed:
    return put(now_ms + settle_closed_ms, change, false);
  case watch_event::attributes:
    return put(now_ms + (open ? settle_open_ms : settle_closed_ms), change, open);
  case watch_event::removed:
    forget_below(path);
    return put(now_ms + settle_gone_ms, {disk_change::kind::gone, path, {}, is_dir}, false);
  case watch_event::moved_from:
    halves_[cookie] = {path, is_dir, now_ms + settle_pair_ms};
    return put(now_ms + settle_gone_ms, {disk_change::kind::gone, std::move(path), {}, is_dir},
               false);
  case watch_event::moved_to:
    break;
  }
  auto half = halves_.find(cookie);
  if (half != halves_.end() && now_ms <= half->second.until_ms) {
    forget(half->second.path);
    if (is_dir)
      follow(half->second.path, path);
    change.what = disk_change::kind::moved;
    change.from = half->second.path;
    halves_.erase(half);
  }
  put(now_ms + settle_closed_ms, std::move(change), false);
}

void settle::lost(std::string path) {
  for (const auto& each : lost_)
    if (is_below(path, each.path))
      return;
  std::erase_if(lost_, [&](const disk_change& each) { return is_below(each.path, path); });
  forget_below(path);
  lost_.push_back({disk_change::kind::lost, std::move(path), {}, true});
}

void settle::retry(int64_t now_ms, std::string path) {
  if (retries_.size() >= settle_entries_max)
    retries_.clear(); // forgets only how long to wait
  int64_t& delay = retries_[path];
  delay = delay == 0 ? 1000 : std::min(delay * 2, settle_retry_ms_max);
  put(now_ms + delay, {disk_change::kind::changed, std::move(path), {}, false}, false);
}

void settle::read_well(std::string_view path) {
  if (auto found = retries_.find(path); found != retries_.end())
    retries_.erase(found);
}

std::vector<disk_change> settle::ready(int64_t now_ms, size_t limit) {
  std::vector<disk_change> out = std::move(lost_);
  lost_.clear();
  std::erase_if(halves_, [&](const auto& each) { return each.second.until_ms < now_ms; });
  while (out.size() < limit && !due_.empty() && due_.begin()->first <= now_ms) {
    auto found = entries_.find(due_.begin()->second);
    due_.erase(due_.begin());
    out.push_back(std::move(found->second.change));
    entries_.erase(found);
  }
  std::stable_partition(out.begin(), out.end(), [](const disk_change& each) {
    return each.what != disk_change::kind::gone;
  });
  return out;
}

std::optional<int64_t> settle::next_ms() const {
  if (!lost_.empty())
    return 0;
  return due_.empty() ? std::nullopt : std::optional{due_.begin()->first};
}

bool settle::waiting(std::string_view path) const {
  return entries_.find(path) != entries_.end();
}

} // namespace harp
