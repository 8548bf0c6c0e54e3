#include "actors/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace harp {

void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un to{};
  if (path == nullptr || *path == '\0' || std::strlen(path) >= sizeof to.sun_path)
    return;
  to.sun_family = AF_UNIX;
  std::strcpy(to.sun_path, path);
  if (to.sun_path[0] == '@')
    to.sun_path[0] = '\0'; // abstract
  int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return;
  auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), bytes);
  ::close(fd);
}

std::chrono::milliseconds watchdog_interval() {
  const char* text = std::getenv("WATCHDOG_USEC");
  if (text == nullptr)
    return {};
  auto microseconds = std::strtoull(text, nullptr, 10);
  return std::chrono::milliseconds{microseconds / 2000};
}

} // namespace harp
