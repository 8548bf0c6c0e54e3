// Namespaces by unshare(1), unshare(2) and the interface ioctls.
#include "tests/e2e/confined.hpp"

#include "tests/e2e/process.hpp"

#include <arpa/inet.h>
#include <cstring>
#include <linux/ipv6.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace harp::e2e {

namespace {

std::vector<std::string> words(const char* flags, const std::string& script) {
  return {"unshare", flags, "sh", "-ec", script + "\nexec \"$@\"", "sh"};
}

bool loopback_up() {
  int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  bool up = ::ioctl(any, SIOCSIFFLAGS, &request) == 0;
  ::close(any);
  return up;
}

bool add_to_loopback(const std::string& ipv6) {
  int any = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  in6_ifreq request{};
  request.ifr6_ifindex = static_cast<int>(if_nametoindex("lo"));
  request.ifr6_prefixlen = 128;
  bool added = inet_pton(AF_INET6, ipv6.c_str(), &request.ifr6_addr) == 1
               && ::ioctl(any, SIOCSIFADDR, &request) == 0;
  ::close(any);
  return added;
}

} // namespace

std::vector<std::string> in_own_mounts(const std::string& script, const std::string& what) {
  for (const char* flags : {"-m", "-rm"}) {
    auto trial = words(flags, "mount --bind / /");
    trial.emplace_back("true");
    if (run(trial).status == 0)
      return words(flags, script);
  }
  report_skipped(what, "no mount namespace is allowed here");
  return {};
}

bool enter_own_network(const std::vector<std::string>& ipv6, const std::string& what) {
  bool in = ::unshare(CLONE_NEWNET) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
  in = in && loopback_up();
  for (const auto& address : ipv6)
    in = in && add_to_loopback(address);
  if (!in)
    report_skipped(what, "no network namespace with IPv6 is allowed here");
  return in;
}

} // namespace harp::e2e
