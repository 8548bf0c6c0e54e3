// A console listener for tests of the command line: answers canned text to exact requests and remembers what was asked.
#pragma once

#include <arpa/inet.h>
#include <map>
#include <mutex>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace harp::web {

class fake_admin {
public:
  /// "GET /api/status" -> the whole raw answer. A request that is not listed gets 404.
  explicit fake_admin(std::map<std::string, std::string> answers) : answers_(std::move(answers)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof where;
    auto* address = reinterpret_cast<sockaddr*>(&where);
    if (bind(listener_, address, bytes) != 0 || listen(listener_, 8) != 0
        || getsockname(listener_, address, &bytes) != 0 || pipe(stop_) != 0)
      std::terminate();
    port_ = ntohs(where.sin_port);
    thread_ = std::thread{[this] { run(); }};
  }
  fake_admin(const fake_admin&) = delete;
  fake_admin& operator=(const fake_admin&) = delete;
  ~fake_admin() {
    close(stop_[1]);
    thread_.join();
    close(stop_[0]);
    close(listener_);
  }

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::vector<std::string> requests() const {
    std::lock_guard lock{mutex_};
    return requests_;
  }

  static std::string answer(int status, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status)
           + " X\r\nContent-Type: application/json\r\nContent-Length: "
           + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

private:
  void run() {
    for (;;) {
      pollfd both[2] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
      if (poll(both, 2, -1) < 0 || both[1].revents != 0)
        return;
      int fd = accept(listener_, nullptr, nullptr);
      if (fd >= 0)
        serve(fd);
      close(fd);
    }
  }

  /// Where the body ends that the head announces.
  static size_t body_end(const std::string& head) {
    const std::string field = "\r\nContent-Length: ";
    auto at = head.find(field);
    auto body = head.find("\r\n\r\n") + 4;
    return at > body ? body : body + std::stoul(head.substr(at + field.size()));
  }

  void serve(int fd) {
    std::string head;
    char part[1024];
    while (head.find("\r\n\r\n") == std::string::npos) {
      auto got = recv(fd, part, sizeof part, 0);
      if (got <= 0)
        return;
      head.append(part, static_cast<size_t>(got));
    }
    size_t wanted = body_end(head);
    while (head.size() < wanted) {
      auto got = recv(fd, part, sizeof part, 0);
      if (got <= 0)
        return;
      head.append(part, static_cast<size_t>(got));
    }
    auto asked = head.substr(0, head.find(" HTTP/1.1"));
    auto found = answers_.find(asked);
    auto text = found == answers_.end() ? answer(404, "{}") : found->second;
    {
      std::lock_guard lock{mutex_};
      requests_.push_back(std::move(head));
    }
    if (text == "(silence)") { // until the client gives up
      while (recv(fd, part, sizeof part, 0) > 0) {
      }
      return;
    }
    send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  }

  std::map<std::string, std::string> answers_;
  int listener_ = -1;
  int stop_[2] = {-1, -1};
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

} // namespace harp::web
