// One thread: inotify in, settle, a bounded queue out. Watches know their parent, so a renamed directory costs one entry.
#include "storage/watcher.hpp"

#include "storage/planner.hpp"
#include "storage/safe_path.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <dirent.h>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>

namespace harp {

namespace {

constexpr uint32_t watch_mask = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE
                                | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW
                                | IN_EXCL_UNLINK;
constexpr size_t unwatched_named_max = 100;
constexpr size_t walk_dirs_per_turn = 256; // between two looks at the events

int64_t now_ms() {
  auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

struct dir_closer {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

} // namespace

struct watcher::parts {
  struct watched_dir {
    int parent = -1; // watch descriptor; -1: the root
    std::string name;
    std::unordered_map<std::string, int> kids;
  };

  watch_options options;
  std::optional<safe_root> root;
  unique_fd inotify;
  unique_fd wake_up;
  std::thread thread;
  std::atomic<bool> ending{false};

  // the thread's own
  std::unordered_map<int, watched_dir> dirs;
  int root_watch = -1;
  std::deque<std::string> to_walk; // directories whose watch is still to be added
  bool first_walk = true;
  std::deque<std::pair<int64_t, int>>
      detached; // moved away: until when the other half may come, watch

  mutable std::mutex mutex; // below: shared
  settle settling;
  std::deque<disk_change> queue;
  std::vector<std::string> unwatched;
  size_t watched = 0;

  void run();
  void walk_some();
  bool add_watch(const std::string& path);
  void take_events();
  void one_event(const inotify_event& event);
  void dir_event(const inotify_event& event, const std::string& path, int parent);
  void drop_watch(int watch);
  void drop_detached();
  void unwatch_tree(int watch);
  std::optional<std::string> path_of(int watch) const;
  int poll_ms() const;
  bool publish();
  void lost(std::string path);
};

std::variant<std::unique_ptr<watcher>, std::string> watcher::start(watch_options options) {
  auto p = std::make_unique<parts>();
  auto root = safe_root::open(options.root);
  if (auto* failed = std::get_if<storage_failure>(&root))
    return failed->what;
  p->root = std::move(std::get<safe_root>(root));
  p->options = std::move(options);
  p->inotify = unique_fd{::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
  if (!p->inotify)
    return file_failure("start watching; raise fs.inotify.max_user_instances").what;
  p->wake_up = unique_fd{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  if (!p->wake_up)
    return file_failure("start watching").what;
  p->to_walk.emplace_back();
  parts* raw = p.get();
  p->thread = std::thread([raw] { raw->run(); });
  return std::unique_ptr<watcher>(new watcher(std::move(p)));
}

watcher::watcher(std::unique_ptr<parts> p) : parts_(std::move(p)) {}

watcher::~watcher() {
  parts_->ending = true;
  uint64_t one = 1;
  if (::write(parts_->wake_up.get(), &one, sizeof one) < 0)
    parts_->ending = true; // the counter is full: the thread wakes anyway
  parts_->thread.join();
}

void watcher::parts::run() {
  while (!ending) {
    walk_some();
    drop_detached();
    std::array<pollfd, 2> fds{pollfd{inotify.get(), POLLIN, 0}, pollfd{wake_up.get(), POLLIN, 0}};
    ::poll(fds.data(), fds.size(), to_walk.empty() ? poll_ms() : 0);
    uint64_t count = 0;
    if ((fds[1].revents & POLLIN) != 0 && ::read(wake_up.get(), &count, sizeof count) < 0)
      count = 0;
    if ((fds[0].revents & POLLIN) != 0)
      take_events();
    if (publish() && options.wake)
      options.wake();
  }
}

int watcher::parts::poll_ms() const {
  std::lock_guard guard(mutex);
  auto due = settling.next_ms();
  if (!due)
    return -1;
  return static_cast<int>(std::clamp<int64_t>(*due - now_ms(), 0, 60'000));
}

/// Moves what has settled to the queue; true when there is something new.
bool watcher::parts::publish() {
  std::lock_guard guard(mutex);
  auto settled = settling.ready(now_ms());
  if (settled.empty())
    return false;
  if (queue.size() + settled.size() > watch_queue_max) {
    queue.clear();
    settled.assign(1, {disk_change::kind::lost, {}, {}, true});
  }
  for (auto& each : settled)
    queue.push_back(std::move(each));
  return true;
}

void watcher::parts::lost(std::string path) {
  std::lock_guard guard(mutex);
  settling.lost(std::move(path));
}

void watcher::parts::walk_some() {
  for (size_t i = 0; i < walk_dirs_per_turn && !to_walk.empty(); ++i) {
    std::string path = std::move(to_walk.front());
    to_walk.pop_front();
    // first the watch, then the listing: what comes between is seen by one of them
    if (!add_watch(path))
      continue;
    auto opened = root->open_dir(path);
    auto* fd = std::get_if<unique_fd>(&opened);
    if (fd == nullptr)
      continue;
    int copy = ::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0);
    std::unique_ptr<DIR, dir_closer> dir(copy < 0 ? nullptr : ::fdopendir(copy));
    if (!dir) {
      if (copy >= 0)
        ::close(copy);
      continue;
    }
    while (const dirent* entry = ::readdir(dir.get())) {
      std::string_view name(entry->d_name);
      if (name == "." || name == ".." || is_own_name(name))
        continue;
      bool is_dir = entry->d_type == DT_DIR;
      if (entry->d_type == DT_UNKNOWN) {
        auto seen = stat_at(fd->get(), name, root->device());
        is_dir = std::holds_alternative<file_stat>(seen)
                 && std::get<file_stat>(seen).kind == disk_kind::dir;
      }
      std::string below = join_path(path, name);
      if (is_dir && !(options.skip_dir && options.skip_dir(below)))
        to_walk.push_back(std::move(below));
    }
  }
  if (to_walk.empty() && first_walk) {
    first_walk = false;
    lost({});
  }
}

bool watcher::parts::add_watch(const std::string& path) {
  auto opened = root->open_dir(path);
  auto* fd = std::get_if<unique_fd>(&opened);
  if (fd == nullptr)
    return false;
  // by descriptor, so that no symlink on the way can lead the watch elsewhere
  std::string by_fd = "/proc/self/fd/" + std::to_string(fd->get());
  constexpr uint32_t followed = watch_mask & ~static_cast<uint32_t>(IN_DONT_FOLLOW);
  int watch = dirs.size() >= watch_dirs_max
                  ? -1
                  : ::inotify_add_watch(inotify.get(), by_fd.c_str(), followed);
  if (watch < 0) {
    std::lock_guard guard(mutex);
    if (unwatched.size() < unwatched_named_max)
      unwatched.push_back(path);
    return true; // its sub-directories may still be watched
  }
  auto [dir, name] = split_path(path);
  int parent = -1;
  if (!path.empty()) {
    parent = root_watch;
    for (std::string_view rest = dir; !rest.empty() && parent >= 0;) {
      auto cut = rest.find('/');
      auto kid = dirs[parent].kids.find(std::string(rest.substr(0, cut)));
      parent = kid == dirs[parent].kids.end() ? -1 : kid->second;
      rest = cut == rest.npos ? std::string_view{} : rest.substr(cut + 1);
    }
    if (parent < 0) {
      // renamed or unwatched above: without a place it cannot name its entries
      ::inotify_rm_watch(inotify.get(), watch);
      std::lock_guard guard(mutex);
      if (unwatched.size() < unwatched_named_max)
        unwatched.push_back(path);
      return true;
    }
    dirs[parent].kids[std::string(name)] = watch;
  } else {
    root_watch = watch;
  }
  dirs[watch].parent = parent;
  dirs[watch].name = std::string(name);
  std::lock_guard guard(mutex);
  watched = dirs.size();
  return true;
}

std::optional<std::string> watcher::parts::path_of(int watch) const {
  std::vector<std::string_view> names;
  while (watch != root_watch) {
    auto found = dirs.find(watch);
    if (found == dirs.end() || found->second.parent < 0 || names.size() > 512)
      return std::nullopt;
    names.push_back(found->second.name);
    watch = found->second.parent;
  }
  std::string out;
  for (auto name = names.rbegin(); name != names.rend(); ++name)
    out = join_path(out, *name);
  return out;
}

void watcher::parts::take_events() {
  alignas(inotify_event) std::array<char, 64 * 1024> buffer;
  for (int turn = 0; turn < 64; ++turn) { // then what has settled gets its turn
    auto size = ::read(inotify.get(), buffer.data(), buffer.size());
    if (size <= 0)
      return;
    for (ssize_t at = 0; at < size;) {
      inotify_event head{};
      std::memcpy(&head, buffer.data() + at, sizeof head);
      one_event(*reinterpret_cast<const inotify_event*>(buffer.data() + at));
      at += static_cast<ssize_t>(sizeof(inotify_event) + head.len);
    }
  }
}

void watcher::parts::one_event(const inotify_event& event) {
  if ((event.mask & IN_Q_OVERFLOW) != 0)
    return lost({});
  if ((event.mask & IN_IGNORED) != 0)
    return drop_watch(event.wd);
  auto dir = path_of(event.wd);
  if (!dir || event.len == 0)
    return;
  std::string_view name(event.name);
  if (is_own_name(name))
    return;
  std::string path = join_path(*dir, name);
  if ((event.mask & IN_ISDIR) != 0)
    dir_event(event, path, event.wd);
  bool is_dir = (event.mask & IN_ISDIR) != 0;
  watch_event what = watch_event::attributes;
  if ((event.mask & IN_CREATE) != 0)
    what = watch_event::created;
  else if ((event.mask & IN_MODIFY) != 0)
    what = watch_event::written;
  else if ((event.mask & IN_CLOSE_WRITE) != 0)
    what = watch_event::closed;
  else if ((event.mask & IN_MOVED_FROM) != 0)
    what = watch_event::moved_from;
  else if ((event.mask & IN_MOVED_TO) != 0)
    what = watch_event::moved_to;
  else if ((event.mask & IN_DELETE) != 0)
    what = watch_event::removed;
  std::lock_guard guard(mutex);
  settling.event(now_ms(), what, std::move(path), is_dir, event.cookie);
}

/// Keeps the watches where the directories are.
void watcher::parts::dir_event(const inotify_event& event, const std::string& path, int parent) {
  std::string name(split_path(path).second);
  if ((event.mask & IN_MOVED_FROM) != 0) {
    // stays in dirs without a place until the other half tells a new one
    if (auto kid = dirs[parent].kids.find(name); kid != dirs[parent].kids.end()) {
      dirs[kid->second].parent = -1;
      detached.emplace_back(now_ms() + settle_pair_ms, kid->second);
      dirs[parent].kids.erase(kid);
    }
    return;
  }
  if ((event.mask & (IN_MOVED_TO | IN_CREATE)) == 0)
    return;
  if (options.skip_dir && options.skip_dir(path))
    return;
  // adding a watch again gives the same descriptor, with its sub-directories still below it
  if ((event.mask & IN_MOVED_TO) != 0) {
    auto opened = root->open_dir(path);
    if (auto* fd = std::get_if<unique_fd>(&opened)) {
      std::string by_fd = "/proc/self/fd/" + std::to_string(fd->get());
      constexpr uint32_t followed = watch_mask & ~static_cast<uint32_t>(IN_DONT_FOLLOW);
      int watch = ::inotify_add_watch(inotify.get(), by_fd.c_str(), followed);
      if (auto known = dirs.find(watch); watch >= 0 && known != dirs.end()) {
        known->second.parent = parent;
        known->second.name = name;
        dirs[parent].kids[name] = watch;
        return;
      }
    }
  }
  // entries made before the watch stood are found by the scan of the new directory
  to_walk.push_back(path);
  lost(path);
}

void watcher::parts::drop_watch(int watch) {
  auto found = dirs.find(watch);
  if (found == dirs.end())
    return;
  if (auto parent = dirs.find(found->second.parent); parent != dirs.end()) {
    auto kid = parent->second.kids.find(found->second.name);
    if (kid != parent->second.kids.end() && kid->second == watch)
      parent->second.kids.erase(kid);
  }
  dirs.erase(watch);
  std::lock_guard guard(mutex);
  watched = dirs.size();
}

/// Directories that were moved out of the tree need no watch any more.
void watcher::parts::drop_detached() {
  while (!detached.empty() && detached.front().first < now_ms()) {
    auto found = dirs.find(detached.front().second);
    if (found != dirs.end() && found->second.parent < 0 && found->first != root_watch)
      unwatch_tree(found->first);
    detached.pop_front();
  }
}

void watcher::parts::unwatch_tree(int watch) {
  std::vector<int> rest{watch};
  while (!rest.empty()) {
    int each = rest.back();
    rest.pop_back();
    auto found = dirs.find(each);
    if (found == dirs.end())
      continue;
    for (const auto& [name, kid] : found->second.kids)
      rest.push_back(kid);
    ::inotify_rm_watch(inotify.get(), each);
    dirs.erase(found);
  }
  std::lock_guard guard(mutex);
  watched = dirs.size();
}

std::vector<disk_change> watcher::take(size_t limit) {
  std::lock_guard guard(parts_->mutex);
  std::vector<disk_change> out;
  while (!parts_->queue.empty() && out.size() < limit) {
    out.push_back(std::move(parts_->queue.front()));
    parts_->queue.pop_front();
  }
  return out;
}

bool watcher::waiting(std::string_view path) const {
  std::lock_guard guard(parts_->mutex);
  return parts_->settling.waiting(path);
}

void watcher::retry(std::string path) {
  {
    std::lock_guard guard(parts_->mutex);
    parts_->settling.retry(now_ms(), std::move(path));
  }
  uint64_t one = 1;
  if (::write(parts_->wake_up.get(), &one, sizeof one) < 0)
    return; // the thread is awake already
}

void watcher::read_well(std::string_view path) {
  std::lock_guard guard(parts_->mutex);
  parts_->settling.read_well(path);
}

std::vector<std::string> watcher::unwatched() const {
  std::lock_guard guard(parts_->mutex);
  return parts_->unwatched;
}

size_t watcher::watched() const {
  std::lock_guard guard(parts_->mutex);
  return parts_->watched;
}

} // namespace harp
