// Surroundings for the snippets of deploy/proxies: just enough configuration to run them as anybody on a loopback port.
#include "tests/e2e/front_proxy.hpp"

#include "tests/e2e/channel.hpp"

#include <unistd.h>

namespace harp::e2e {

namespace {

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

std::string nginx_around(const std::string& snippet, const temp_dir& dir,
                         const std::string& address) {
  std::string temp;
  for (std::string kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
    temp += kind + "_temp_path " + (dir / kind) + ";\n";
  return std::string{"daemon off;\n"} + (geteuid() == 0 ? "user root;\n" : "") + "pid "
         + (dir / "pid") + ";\nworker_processes 1;\nerror_log stderr;\nevents {}\nhttp {\n"
         + "access_log off;\n" + temp + "server {\nlisten " + address + ";\n" + snippet + "}\n}\n";
}

std::string apache_around(const std::string& snippet, const temp_dir& dir,
                          const std::string& address) {
  std::string out = "ServerRoot /etc/apache2\nServerName localhost\nPidFile " + (dir / "pid")
                    + "\nMutex file:" + dir.path() + "\nDefaultRuntimeDir " + dir.path()
                    + "\nErrorLog /dev/stderr\nListen " + address + "\nTimeout 120\n";
  if (geteuid() == 0)
    out += "User www-data\nGroup www-data\n";
  for (std::string module :
       {"mpm_event", "authz_core", "env", "proxy", "proxy_http", "proxy_wstunnel"})
    out += "LoadModule " + module + "_module /usr/lib/apache2/modules/mod_" + module + ".so\n";
  return out + snippet;
}

} // namespace

front_proxy::front_proxy(std::string name, const std::string& harp)
    : name_(std::move(name)), program_path_(find_program(name_)),
      address_("127.0.0.1:" + std::to_string(free_port())) {
  if (!installed())
    return;
  spawn_options how;
  how.output = dir_ / "log";
  how.environment = {{"XDG_DATA_HOME", dir_.path()}, {"XDG_CONFIG_HOME", dir_.path()}};
  program_ = process{configure(harp), how};
}

std::string front_proxy::snippet(const std::string& file, const std::string& harp) const {
  return replaced(read_file(checkout() + "/deploy/proxies/" + file), "127.0.0.1:8780", harp);
}

std::vector<std::string> front_proxy::configure(const std::string& harp) {
  std::string file = dir_ / "configuration";
  if (name_ == "nginx") {
    write_file(file, nginx_around(snippet("nginx.conf", harp), dir_, address_));
    return {program_path_, "-e", "stderr", "-c", file};
  }
  if (name_ == "caddy") {
    std::string port = address_.substr(address_.rfind(':'));
    write_file(file, "{\nadmin off\nauto_https off\n}\nhttp://" + port + " {\nbind 127.0.0.1\n"
                         + snippet("Caddyfile", harp) + "}\n");
    return {program_path_, "run", "--adapter", "caddyfile", "--config", file};
  }
  if (name_ == "haproxy") {
    write_file(file, replaced(snippet("haproxy.cfg", harp), "bind :80", "bind " + address_));
    return {program_path_, "-db", "-f", file};
  }
  write_file(file, apache_around(snippet("apache.conf", harp), dir_, address_));
  return {program_path_, "-DFOREGROUND", "-f", file};
}

bool front_proxy::ready() {
  return until(15s * patience(),
               [this] { return !program_.running() || channel::connect(address_, 1s).open(); })
         && program_.running();
}

} // namespace harp::e2e
