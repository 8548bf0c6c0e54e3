// readdir and statx against base rows; a shared stack of directories feeds the threads.
#include "storage/disk_scan.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <mutex>
#include <thread>
#include <unistd.h>
#include <unordered_map>

namespace harp {

namespace {

struct dir_closer {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

/// One directory to be compared.
struct scan_job {
  local_id lid = 0;
  std::string path;
};

/// What the threads share.
class scan_walk {
public:
  scan_walk(const safe_root& root, const rows_view& rows, const scan_options& options,
            const std::function<bool(scan_piece)>& found)
      : root_(root), rows_(rows), options_(options), found_(found) {}

  scan_totals run(scan_job first) {
    jobs_.push_back(std::move(first));
    std::vector<std::thread> threads;
    unsigned count = options_.deep ? std::clamp(options_.threads, 1u, scan_threads_max) : 1;
    for (unsigned i = 1; i < count; ++i)
      threads.emplace_back([this] { work(); });
    work();
    for (auto& thread : threads)
      thread.join();
    totals_.complete = totals_.complete && !stopped_;
    return std::move(totals_);
  }

private:
  void work() {
    std::unique_ptr<folder_rows> view;
    size_t used = 0;
    std::unique_lock guard(mutex_);
    for (;;) {
      wake_.wait(guard, [this] { return !jobs_.empty() || busy_ == 0 || stopped_; });
      if (jobs_.empty() || stopped_)
        break;
      scan_job job = std::move(jobs_.back()); // depth first keeps the stack short
      jobs_.pop_back();
      ++busy_;
      guard.unlock();
      if (!view || ++used >= scan_view_dirs) {
        view.reset();
        view = rows_();
        used = 0;
      }
      scan_totals part;
      std::vector<scan_job> below;
      scan_piece piece;
      compare(*view, job, part, below, piece);
      guard.lock();
      if (!piece.present.empty() || !piece.absent.empty())
        stopped_ = !found_(std::move(piece)) || stopped_;
      add(part);
      if (options_.deep)
        std::move(below.begin(), below.end(), std::back_inserter(jobs_));
      --busy_;
      wake_.notify_all();
    }
    wake_.notify_all();
  }

  void add(scan_totals& part) {
    totals_.dirs += part.dirs;
    totals_.entries += part.entries;
    totals_.changed += part.changed;
    totals_.absent += part.absent;
    totals_.complete = totals_.complete && part.complete;
    for (auto& path : part.unreadable)
      if (totals_.unreadable.size() < 100)
        totals_.unreadable.push_back(std::move(path));
  }

  static void unreadable(const scan_job& job, scan_totals& part) {
    part.complete = false;
    part.unreadable.push_back(job.path);
  }

  void compare(folder_rows& rows, const scan_job& job, scan_totals& part,
               std::vector<scan_job>& below, scan_piece& piece) const {
    auto opened = root_.open_dir(job.path);
    auto* fd = std::get_if<unique_fd>(&opened);
    if (fd == nullptr) {
      // gone meanwhile: its parent's listing, or the next scan, tells it
      return unreadable(job, part);
    }
    int copy = ::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0);
    std::unique_ptr<DIR, dir_closer> dir(copy < 0 ? nullptr : ::fdopendir(copy));
    if (!dir) {
      if (copy >= 0)
        ::close(copy);
      return unreadable(job, part);
    }
    std::unordered_map<std::string, local_id> expected;
    rows.each_base(job.lid, {}, [&](std::string_view name, local_id lid) {
      expected.emplace(name, lid);
      return true;
    });
    errno = 0;
    while (const dirent* entry = ::readdir(dir.get())) {
      one(rows, job, entry->d_name, fd->get(), expected, part, below, piece);
      errno = 0;
    }
    if (errno != 0)
      return unreadable(job, part); // G2: an incomplete listing tells nothing of absence
    ++part.dirs;
    for (auto& [name, lid] : expected) {
      ++part.absent;
      piece.absent.push_back({job.lid, name});
    }
  }

  void one(folder_rows& rows, const scan_job& job, std::string_view name, int dir_fd,
           std::unordered_map<std::string, local_id>& expected, scan_totals& part,
           std::vector<scan_job>& below, scan_piece& piece) const {
    if (name == "." || name == "..")
      return;
    auto known = expected.find(std::string(name));
    local_id lid = known == expected.end() ? 0 : known->second;
    if (lid == 0 && is_own_name(name))
      return;
    ++part.entries;
    auto looked = stat_at(dir_fd, name, root_.device());
    if (auto* failed = std::get_if<storage_failure>(&looked)) {
      if (failed->code == ENOENT)
        return; // gone since the listing; it stays in `expected`
      part.complete = false;
      if (lid != 0)
        expected.erase(known);
      return;
    }
    const auto& stat = std::get<file_stat>(looked);
    if (lid == 0) {
      if (stat.kind == disk_kind::other)
        return;
      if (options_.ignored
          && options_.ignored(join_path(job.path, name), stat.kind == disk_kind::dir))
        return;
      ++part.changed;
      piece.present.push_back({job.lid, std::string(name)});
      return;
    }
    expected.erase(known);
    auto row = rows.base(lid);
    if (!row || row->seen.kind != stat.kind || !untouched(row->seen, stat)) {
      ++part.changed;
      piece.present.push_back({job.lid, std::string(name)});
    } else if (stat.kind == disk_kind::dir) {
      below.push_back({lid, join_path(job.path, name)});
    }
  }

  const safe_root& root_;
  const rows_view& rows_;
  const scan_options& options_;
  const std::function<bool(scan_piece)>& found_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<scan_job> jobs_;
  unsigned busy_ = 0;
  bool stopped_ = false;
  scan_totals totals_;
};

} // namespace

scan_totals scan_disk(const safe_root& root, const rows_view& rows, local_id dir,
                      const scan_options& options, const std::function<bool(scan_piece)>& found) {
  std::string path;
  if (dir != root_lid) {
    auto view = rows();
    auto known = base_path(*view, dir);
    if (!known) {
      scan_totals none;
      none.complete = false;
      return none;
    }
    path = std::move(*known);
  }
  scan_walk walk(root, rows, options, found);
  return walk.run({dir, std::move(path)});
}

} // namespace harp
