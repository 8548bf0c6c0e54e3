// The relay of cut_path.
#include "tests/e2e/cut_path.hpp"

#include <poll.h>

namespace harp::e2e {

namespace {

/// Passes on what is there. False when either side ended.
bool pass(const channel& from, const channel& to) {
  std::string bytes;
  return from.receive(bytes, 0ms) == heard::data && to.send(bytes);
}

} // namespace

cut_path::cut_path(std::string to, std::string from)
    : to_(std::move(to)), from_(std::move(from)), server_([this](channel& near) { carry(near); }) {}

size_t cut_path::dead() {
  std::lock_guard lock{guard_};
  return dead_.size();
}

void cut_path::carry(channel& near) {
  const int born = cuts_;
  auto far = channel::connect(to_, 5s, from_);
  while (far.open() && !server_.stopping()) {
    if (cuts_ != born) {
      near.close();
      std::lock_guard lock{guard_};
      dead_.push_back(std::move(far));
      return;
    }
    pollfd both[] = {{near.descriptor(), POLLIN, 0}, {far.descriptor(), POLLIN, 0}};
    ::poll(both, 2, 20);
    if ((both[0].revents != 0 && !pass(near, far)) || (both[1].revents != 0 && !pass(far, near)))
      return;
  }
}

} // namespace harp::e2e
