#include "net/passed_socket.hpp"

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace harp::net {

namespace {

struct stand_ins {
  std::mutex guard;
  std::map<std::string, owned_descriptor> by_path;
};

stand_ins& known() {
  static stand_ins all;
  return all;
}

/// Room for one descriptor beside a message.
union descriptor_room {
  cmsghdr head;
  char bytes[CMSG_SPACE(sizeof(int))];
};

} // namespace

owned_descriptor& owned_descriptor::operator=(owned_descriptor&& other) noexcept {
  std::swap(value_, other.value_);
  return *this;
}

owned_descriptor::~owned_descriptor() {
  if (value_ >= 0)
    ::close(value_);
}

int owned_descriptor::release() {
  return std::exchange(value_, -1);
}

void pass_connections_to(std::string path, owned_descriptor control) {
  std::lock_guard lock{known().guard};
  known().by_path.insert_or_assign(std::move(path), std::move(control));
}

std::optional<owned_descriptor> passed_connection(const std::string& path) {
  std::lock_guard lock{known().guard};
  auto found = known().by_path.find(path);
  if (found == known().by_path.end())
    return std::nullopt;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return owned_descriptor{};
  owned_descriptor ours{ends[0]};
  owned_descriptor theirs{ends[1]};
  if (!send_descriptor(found->second.get(), theirs.get()))
    return owned_descriptor{};
  return ours;
}

bool send_descriptor(int control, int end) {
  char word = 'c'; // at least one byte must go along
  iovec data{&word, 1};
  descriptor_room room{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = room.bytes;
  message.msg_controllen = sizeof(room.bytes);
  auto* field = CMSG_FIRSTHDR(&message);
  field->cmsg_level = SOL_SOCKET;
  field->cmsg_type = SCM_RIGHTS;
  field->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(field), &end, sizeof(end));
  return ::sendmsg(control, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

owned_descriptor receive_descriptor(int control, bool& ended) {
  char word = 0;
  iovec data{&word, 1};
  descriptor_room room{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = room.bytes;
  message.msg_controllen = sizeof(room.bytes);
  auto got = ::recvmsg(control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  ended = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
  auto* field = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (field == nullptr || field->cmsg_type != SCM_RIGHTS
      || field->cmsg_len != CMSG_LEN(sizeof(int)))
    return owned_descriptor{};
  int end = -1;
  std::memcpy(&end, CMSG_DATA(field), sizeof(end));
  return owned_descriptor{end};
}

} // namespace harp::net
