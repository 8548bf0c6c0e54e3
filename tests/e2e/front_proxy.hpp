// Real reverse proxies from Debian, started in front of a node with the snippets people are told to use (deploy/proxies).
#pragma once

#include "tests/e2e/process.hpp"

#include <memory>

namespace harp::e2e {

/// One running proxy on a loopback port of its own.
class front_proxy {
public:
  /// `name` is nginx, caddy, haproxy or apache2. Not running when the program is missing.
  front_proxy(std::string name, const std::string& harp);
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool installed() const { return !program_path_.empty(); }
  /// Waits until it accepts.
  bool ready();
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] std::string log() const { return read_file(dir_ / "log"); }

private:
  [[nodiscard]] std::string snippet(const std::string& file, const std::string& harp) const;
  std::vector<std::string> configure(const std::string& harp);

  std::string name_;
  temp_dir dir_;
  std::string program_path_;
  std::string address_;
  process program_;
};

} // namespace harp::e2e
