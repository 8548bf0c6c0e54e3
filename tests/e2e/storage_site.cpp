// Founding, joining and comparing storage nodes.
#include "tests/e2e/storage_site.hpp"

#include <filesystem>
#include <iostream>
#include <sstream>

namespace harp::e2e {

namespace fs = std::filesystem;

storage_node::storage_node(std::string name) : name_(std::move(name)) {}

run_result storage_node::command(std::vector<std::string> arguments, milliseconds limit) const {
  arguments.insert(arguments.begin(), {harp_program(), "--state", state()});
  spawn_options how;
  how.directory = dir_.path();
  return run(arguments, how, limit * patience());
}

nlohmann::json storage_node::json(std::vector<std::string> arguments) const {
  arguments.push_back("--json");
  auto told = command(arguments);
  auto parsed = nlohmann::json::parse(told.output, nullptr, false);
  if (told.status == 0 && !parsed.is_discarded())
    return parsed;
  std::cout << name_ << ": " << arguments.front() << " ended with " << told.status << ": " << told.output << "\n";
  return nullptr;
}

bool storage_node::start() {
  spawn_options how;
  how.environment = environment;
  how.environment.emplace("HARP_LISTEN_CONSOLE", "127.0.0.1:0");
  how.environment.emplace("HARP_LISTEN_LAN_DISCOVERY", "false");
  how.environment.emplace("HARP_LOG_LEVEL", "debug");
  how.output = dir_ / "harp.log";
  program_ = process{{harp_program(), "--state", state(), "serve"}, how};
  return until(20s * patience(), [this] { return !program_.running() || command({"health"}).status == 0; }) && program_.running();
}

std::vector<std::string> storage_node::error_lines() const {
  std::vector<std::string> out;
  std::istringstream lines{log()};
  for (std::string line; std::getline(lines, line);)
    if (line.find("\"level\":\"error\"") != std::string::npos)
      out.push_back(line);
  return out;
}

nlohmann::json storage_node::space(const std::string& space) const {
  auto status = json({"status"});
  if (status.is_object() && status.contains("spaces"))
    for (const auto& entry : status["spaces"])
      if (entry.value("name", "") == space)
        return entry;
  return nullptr;
}

std::map<std::string, std::string> storage_node::tree(const std::string& space) const {
  std::map<std::string, std::string> out;
  std::error_code error;
  fs::path root = folder(space);
  for (fs::recursive_directory_iterator at{root, error}, end; at != end; at.increment(error)) {
    auto name = at->path().filename().string();
    if (name.starts_with(".harp")) {
      if (at->is_directory(error))
        at.disable_recursion_pending();
      continue;
    }
    auto path = at->path().lexically_relative(root).string();
    if (at->is_symlink(error))
      out[path] = "-> " + fs::read_symlink(at->path(), error).string();
    else if (at->is_directory(error))
      out[path + "/"] = {};
    else
      out[path] = read_file(at->path().string());
  }
  return out;
}

std::string last_line(const std::string& text) {
  auto end = text.find_last_not_of('\n');
  if (end == text.npos)
    return {};
  auto start = text.rfind('\n', end);
  return text.substr(start == text.npos ? 0 : start + 1, end - (start == text.npos ? 0 : start + 1) + 1);
}

storage_site::storage_site(size_t count, const std::string& space, const std::string& role, const std::map<std::string, std::string>& environment) : space_(space) {
  for (size_t i = 0; i < count; ++i) {
    nodes.push_back(std::make_unique<storage_node>("n" + std::to_string(i)));
    nodes.back()->environment = environment;
  }
  auto& founder = *nodes[0];
  auto must = [](const storage_node& who, const run_result& told, const char* what) {
    if (told.status != 0)
      std::cout << who.name() << ": " << what << " ended with " << told.status << ": " << told.output << "\n" << who.log().substr(0, 4000) << "\n";
    return told.status == 0;
  };
  if (!must(founder, founder.command({"init", "--name", "n0", "--listen", "127.0.0.1:0"}), "init") || !founder.start())
    return;
  fs::create_directories(founder.folder(space));
  if (!must(founder, founder.command({"space", "create", space, "--dir", founder.folder(space)}), "space create"))
    return;
  for (size_t i = 1; i < count; ++i) {
    auto& node = *nodes[i];
    auto invited = founder.command({"invite", "--role", role, "--space", space});
    if (!must(founder, invited, "invite"))
      return;
    if (!must(node, node.command({"join", last_line(invited.output), "--name", node.name(), "--listen", "127.0.0.1:0"}), "join") || !node.start())
      return;
    fs::create_directories(node.folder(space));
    if (!must(node, node.command({"space", "add", space, "--dir", node.folder(space)}), "space add"))
      return;
  }
  ready = true;
}

bool storage_site::settled(milliseconds limit) {
  return until(limit * patience(), [this] {
    std::string root;
    std::map<std::string, std::string> first;
    bool have = false;
    for (auto& node : nodes) {
      if (!node->program().running())
        continue;
      auto entry = node->space(space_);
      if (!entry.is_object() || entry.value("pending", 1) != 0 || entry.value("state_root", "").empty())
        return false;
      auto tree = node->tree(space_);
      if (have && (entry["state_root"] != root || tree != first))
        return false;
      root = entry["state_root"];
      first = std::move(tree);
      have = true;
    }
    return have;
  });
}

std::string storage_site::difference() const {
  std::string out;
  for (const auto& node : nodes) {
    auto entry = node->space(space_);
    out += node->name() + ": " + entry.dump() + "\n";
    for (const auto& [path, content] : node->tree(space_))
      out += "  " + path + " (" + std::to_string(content.size()) + ") " + content.substr(0, 40) + "\n";
  }
  return out;
}

} // namespace harp::e2e
