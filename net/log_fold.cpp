#include "net/log_fold.hpp"

#include <algorithm>

namespace harp::net {

namespace {

using view_pair = std::pair<std::string_view, std::string_view>;

} // namespace

bool log_fold::admit(std::string_view code, std::string_view msg, time_point now) {
  auto found = entries_.find(view_pair{code, msg});
  if (found != entries_.end()) {
    ++found->second.left_out;
    return false;
  }
  if (entries_.size() < folds_max) {
    entries_.emplace(std::pair{std::string{code}, std::string{msg}}, entry{now, 0, {}});
    oldest_ = std::min(oldest_, now);
  }
  return true;
}

void log_fold::remember(std::string_view code, std::string_view msg, std::string line) {
  if (auto found = entries_.find(view_pair{code, msg}); found != entries_.end())
    found->second.line = std::move(line);
}

std::vector<folded_line> log_fold::expired(time_point now) {
  std::vector<folded_line> result;
  if (oldest_ == time_point::max() || now - oldest_ < fold_window)
    return result;
  oldest_ = time_point::max();
  for (auto at = entries_.begin(); at != entries_.end();) {
    if (now - at->second.since < fold_window) {
      oldest_ = std::min(oldest_, at->second.since);
      ++at;
      continue;
    }
    if (at->second.left_out > 0)
      result.push_back({std::move(at->second.line), at->second.left_out});
    at = entries_.erase(at);
  }
  return result;
}

std::vector<folded_line> log_fold::all() {
  return expired(time_point::max());
}

} // namespace harp::net
