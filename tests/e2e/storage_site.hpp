// Storage nodes of a test: laptops and servers that share folders, driven by the command line alone.
#pragma once

#include "tests/e2e/process.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace harp::e2e {

/// One node with a state directory, a folder per space, and its log. Serves only storage: no HP_* name is set.
class storage_node {
public:
  explicit storage_node(std::string name);

  /// `harp --state STATE arguments...`
  [[nodiscard]] run_result command(std::vector<std::string> arguments, milliseconds limit = 60s) const;
  /// The same, whose answer must be JSON and whose exit must be 0; null otherwise, with the output reported.
  [[nodiscard]] nlohmann::json json(std::vector<std::string> arguments) const;
  /// `harp serve`, until `harp health` is content.
  bool start();
  int stop() { return program_.stop(); }
  void kill() { program_.kill(); }
  process& program() { return program_; }

  [[nodiscard]] std::string folder(const std::string& space) const { return dir_ / space; }
  [[nodiscard]] std::string file(const std::string& space, const std::string& path) const { return folder(space) + "/" + path; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const temp_dir& dir() const { return dir_; }
  [[nodiscard]] std::string state() const { return dir_ / "state"; }
  [[nodiscard]] std::string log() const { return read_file(dir_ / "harp.log"); }
  [[nodiscard]] std::vector<std::string> error_lines() const;

  /// The entry of `space` in `harp status --json`; null when absent.
  [[nodiscard]] nlohmann::json space(const std::string& space) const;
  /// Everything in the folder but Harp's own names: relative path -> content; directories end in '/' and have none.
  [[nodiscard]] std::map<std::string, std::string> tree(const std::string& space) const;
  std::map<std::string, std::string> environment; // added to the daemon's

private:
  temp_dir dir_;
  std::string name_;
  process program_;
};

/// The last line of a text.
std::string last_line(const std::string& text);

/// A cluster: nodes[0] founded it and created the space; the others joined by invite and added it.
class storage_site {
public:
  /// All nodes are started and linked; false in `ready` when something failed, with the reason on stdout.
  /// `environment`: of every daemon.
  explicit storage_site(size_t nodes, const std::string& space = "work", const std::string& role = "writer", const std::map<std::string, std::string>& environment = {});
  bool ready = false;
  std::vector<std::unique_ptr<storage_node>> nodes;
  storage_node& operator[](size_t i) { return *nodes[i]; }

  /// True once all running nodes have nothing pending, equal state roots, and equal trees.
  bool settled(milliseconds limit = 30s);
  /// What differs, for a failed check.
  [[nodiscard]] std::string difference() const;

private:
  std::string space_;
};

} // namespace harp::e2e
