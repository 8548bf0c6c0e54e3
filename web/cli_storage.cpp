#include "web/cli_storage.hpp"

#include "web/admin_client.hpp"
#include "web/config_values.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <filesystem>
#include <iostream>
#include <ostream>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;

CLI::App* command(CLI::App& parent, const std::string& name, const std::string& meaning) {
  auto* added = parent.add_subcommand(name, meaning);
  added->fallthrough();
  return added;
}

constexpr const char* path_meaning = "SPACE:path, or a path inside a shared folder";

void add_path(CLI::App* to, storage_words& into) {
  to->add_option("path", into.path, path_meaning)->option_text("PATH")->required();
}

void add_cluster_commands(CLI::App& app, storage_words& into) {
  auto* init = command(app, "init", "found a cluster: this node becomes its governor");
  init->add_option("--name", into.name, "name of this device; default: the host's")->option_text("NAME");
  init->add_option("--listen", into.listen, "where other nodes reach this one; default 0.0.0.0:8784")->option_text("ADDR:PORT");
  auto* invite = command(app, "invite", "make a token for `harp join`; it stands alone on the last line");
  invite->require_subcommand(0, 1);
  invite->add_option("--role", into.role, "reader, writer (default), keeper or admin")->option_text("ROLE");
  invite->add_option("--space", into.spaces, "a space the joiner gets; may repeat; default: none")->option_text("NAME")->allow_extra_args(false);
  invite->add_option("--user", into.user, "whose device it will be; default: this node's user")->option_text("NAME");
  invite->add_option("--expires", into.expires, "how long it is good: 30m, 24h (default and most)")->option_text("TIME");
  invite->add_option("--uses", into.uses, "how many devices may spend it; default 1")->option_text("N");
  command(*invite, "ls", "invites that are still good");
  command(*invite, "revoke", "take one back")->add_option("id", into.name, "as `invite ls` shows it")->option_text("ID")->required();
  auto* join = command(app, "join", "join the cluster that a token names");
  join->add_option("token", into.token, "the token, or - to read it from standard input")->option_text("TOKEN")->required();
  join->add_option("--name", into.name, "name of this device; default: the host's")->option_text("NAME");
  join->add_option("--listen", into.listen, "where other nodes reach this one; default 0.0.0.0:8784")->option_text("ADDR:PORT");
  auto* member = command(app, "member", "devices of the cluster");
  member->require_subcommand(0, 1);
  command(*member, "ls", "list them: role, spaces, last contact");
  auto* rename = command(*member, "rename", "give a device another name");
  rename->add_option("device", into.device, "name or key")->option_text("DEVICE")->required();
  rename->add_option("name", into.name, "the new name")->option_text("NAME")->required();
  auto* revoke = command(*member, "revoke", "take a device's rights away, everywhere");
  revoke->add_option("device", into.device, "name or key")->option_text("DEVICE")->required();
  auto* role = command(*member, "role", "change what a device may do, in the cluster or one space");
  role->add_option("device", into.device, "name or key")->option_text("DEVICE")->required();
  role->add_option("role", into.role, "reader, writer, keeper or admin")->option_text("ROLE")->required();
  role->add_option("--space", into.space, "in this space; default: in the cluster")->option_text("NAME");
  auto* token = command(*member, "token", "make a token with which a user logs in to WebDAV");
  token->add_option("user", into.user, "the user")->option_text("USER")->required();
  token->add_option("--role", into.role, "reader or writer (default)")->option_text("ROLE");
  token->add_option("--expires", into.expires, "how long it is good, e.g. 90d")->option_text("TIME");
}

void add_space_commands(CLI::App& app, storage_words& into) {
  auto* space = command(app, "space", "what nodes share: a tree of files with its members and its history");
  space->require_subcommand(0, 1);
  auto* create = command(*space, "create", "make a space; on the governor's node");
  create->add_option("name", into.space, "its name")->option_text("NAME")->required();
  create->add_option("--dir", into.dir, "the folder that holds its files here")->option_text("DIR");
  auto* add = command(*space, "add", "hold a space of the cluster on this device");
  add->add_option("name", into.space, "its name")->option_text("NAME")->required();
  add->add_option("--dir", into.dir, "the folder; what is in it already is joined by path")->option_text("DIR");
  add->add_option("--mode", into.mode, "full (default), online-only or ignore (metadata only)")->option_text("MODE");
  command(*space, "ls", "list the spaces this device may hold");
  auto* rm = command(*space, "rm", "stop holding a space here; its files stay where they are");
  rm->add_option("name", into.space, "its name")->option_text("NAME")->required();
  auto* select = command(*space, "select", "choose what of a folder is kept on this device");
  add_path(select, into);
  select->add_option("mode", into.mode, "full, online-only or ignore")->option_text("MODE")->required();
}

void add_file_commands(CLI::App& app, storage_words& into) {
  add_path(command(app, "ls", "list a folder as all devices see it"), into);
  add_path(command(app, "cat", "write a file to standard output, also while it is still arriving"), into);
  auto* get = command(app, "get", "copy a file out of a space");
  add_path(get, into);
  get->add_option("--to", into.target, "file to write; default: the same name here")->option_text("FILE");
  auto* put = command(app, "put", "copy a file into a space");
  put->add_option("file", into.target, "the file; - for standard input")->option_text("FILE")->required();
  add_path(put, into);
  add_path(command(app, "history", "the versions of a path, newest first: who, when, what was overtaken"), into);
  auto* restore = command(app, "restore", "make an old version current, or bring a deleted file back");
  add_path(restore, into);
  restore->add_option("--version", into.version, "as `history` shows it; default: the one before the current")->option_text("VERSION");
  auto* trash = command(app, "trash", "what was deleted and can be restored");
  trash->add_option("space", into.space, "only of this space")->option_text("SPACE");
  auto* rewind = command(app, "rewind", "bring a space or folder back to what it was; itself undoable");
  add_path(rewind, into);
  rewind->add_option("--to", into.time, "the time: 2026-11-23T10:00:00Z, or 2h for two hours ago")->option_text("TIME")->required();
  auto* notices = command(app, "notices", "what was decided without asking, and how to have it otherwise");
  notices->add_option("space", into.space, "only of this space")->option_text("SPACE");
  notices->add_flag("--clear", into.clear, "forget them");
  auto* release = command(app, "release", "answer a held burst of deletions: let it happen");
  release->add_option("space", into.space, "the space that holds it")->option_text("SPACE")->required();
  release->add_flag("--undo", into.clear, "do not: bring the files back");
  add_path(command(app, "copies", "where the content of a file is, and what it waits for"), into);
  auto* verify = command(app, "verify", "check metadata, contents and files of this device");
  verify->add_option("space", into.space, "only this space")->option_text("SPACE");
  auto* repair = command(app, "repair", "mend what verify finds, from peers where possible; loses nothing");
  repair->add_option("space", into.space, "only this space")->option_text("SPACE");
}

/// A call of the API and the arguments it takes out of the words.
struct known_call {
  const char* words;
  const char* name;
  json (*arguments)(const storage_words&);
};

std::string absolute(const std::string& path) {
  std::error_code error;
  auto full = std::filesystem::absolute(path, error);
  return error ? path : full.lexically_normal().string();
}

json path_of(const storage_words& w) {
  return {{"path", w.path}, {"absolute", absolute(w.path)}};
}

const known_call calls[] = {
  {"init", "init", [](const storage_words& w) { return json{{"name", w.name}, {"listen", w.listen}}; }},
  {"invite", "invite", [](const storage_words& w) { return json{{"role", w.role}, {"spaces", w.spaces}, {"user", w.user}, {"expires", w.expires}, {"uses", w.uses}}; }},
  {"invite ls", "invite_ls", [](const storage_words&) { return json::object(); }},
  {"invite revoke", "invite_revoke", [](const storage_words& w) { return json{{"id", w.name}}; }},
  {"join", "join", [](const storage_words& w) { return json{{"token", w.token}, {"name", w.name}, {"listen", w.listen}}; }},
  {"member ls", "member_ls", [](const storage_words&) { return json::object(); }},
  {"member rename", "member_rename", [](const storage_words& w) { return json{{"device", w.device}, {"name", w.name}}; }},
  {"member revoke", "member_revoke", [](const storage_words& w) { return json{{"device", w.device}}; }},
  {"member role", "member_role", [](const storage_words& w) { return json{{"device", w.device}, {"role", w.role}, {"space", w.space}}; }},
  {"member token", "member_token", [](const storage_words& w) { return json{{"user", w.user}, {"role", w.role}, {"expires", w.expires}}; }},
  {"space create", "space_create", [](const storage_words& w) { return json{{"name", w.space}, {"dir", w.dir.empty() ? w.dir : absolute(w.dir)}}; }},
  {"space add", "space_add", [](const storage_words& w) { return json{{"name", w.space}, {"dir", w.dir.empty() ? w.dir : absolute(w.dir)}, {"mode", w.mode}}; }},
  {"space ls", "space_ls", [](const storage_words&) { return json::object(); }},
  {"space rm", "space_rm", [](const storage_words& w) { return json{{"name", w.space}}; }},
  {"space select", "select", [](const storage_words& w) { auto a = path_of(w); a["mode"] = w.mode; return a; }},
  {"ls", "ls", path_of},
  {"history", "history", path_of},
  {"restore", "restore", [](const storage_words& w) { auto a = path_of(w); a["version"] = w.version; return a; }},
  {"trash", "trash", [](const storage_words& w) { return json{{"space", w.space}}; }},
  {"rewind", "rewind", [](const storage_words& w) { auto a = path_of(w); a["time"] = w.time; return a; }},
  {"notices", "notices", [](const storage_words& w) { return json{{"space", w.space}, {"clear", w.clear}}; }},
  {"release", "release", [](const storage_words& w) { return json{{"space", w.space}, {"undo", w.clear}}; }},
  {"copies", "copies", path_of},
  {"verify", "verify", [](const storage_words& w) { return json{{"space", w.space}}; }},
  {"repair", "repair", [](const storage_words& w) { return json{{"space", w.space}}; }},
};

constexpr std::array content_words{"cat", "get", "put"};

bool is_content(const std::string& words) {
  return std::find(content_words.begin(), content_words.end(), words) != content_words.end();
}

/// Calls that need no running daemon: founding, joining, and what the governor writes down.
bool works_alone(const std::string& name) {
  constexpr std::array names{"init", "join", "invite", "invite_ls", "invite_revoke", "member_ls", "member_rename", "member_revoke",
                             "member_role", "member_token", "space_create", "space_add", "space_ls", "space_rm", "ls", "history",
                             "trash", "notices", "verify"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The token from standard input, so that it need not be an argument that everybody can see.
bool read_token(json& arguments) {
  if (arguments.value("token", "") != "-")
    return true;
  std::string line;
  std::getline(std::cin, line);
  while (line.ends_with('\r') || line.ends_with(' '))
    line.pop_back();
  arguments["token"] = line;
  return !line.empty();
}

/// A list under one name is shown as its rows, whatever else the answer says.
void print_answer(const cli_call& call, const std::string& words, const std::string& body) {
  if (call.settings.json) {
    call.world.out << body << (body.ends_with('\n') ? "" : "\n");
    return;
  }
  auto answer = json::parse(body, nullptr, false);
  std::string token;
  if (answer.is_object() && answer.contains("token") && (words == "invite" || words == "member token")) {
    token = answer["token"].get<std::string>();
    answer.erase("token");
  }
  call.world.out << readable(answer.dump(2, ' ', false, json::error_handler_t::replace));
  if (!token.empty())
    call.world.out << token << "\n";
}

} // namespace

void add_storage_commands(CLI::App& app, storage_words& into) {
  add_cluster_commands(app, into);
  add_space_commands(app, into);
  add_file_commands(app, into);
}

bool is_storage_command(const std::string& words) {
  for (const auto& known : calls)
    if (words == known.words)
      return true;
  return is_content(words);
}

std::string storage_call(const cli_call& call, const std::string& name, const json& arguments, int& code) {
  auto state = node_directories(call.sources).first;
  auto body = arguments.dump(-1, ' ', false, json::error_handler_t::replace);
  auto answer = ask_daemon(state, "POST", "/api/call/" + name, body, storage_call_limit);
  if (!answer.reachable && works_alone(name) && call.hooks.storage)
    answer = call.hooks.storage(call.sources, name, body);
  if (answer.status == 200)
    return answer.body;
  auto told = json::parse(answer.body, nullptr, false);
  bool understood = told.is_object() && told.contains("error") && told["error"].is_string();
  if (!understood || answer.status == 401) {
    code = report_failure(answer, state, call);
    return {};
  }
  code = answer.status == 400 ? exit_usage : exit_problem;
  if (call.settings.json)
    call.world.out << told.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  else
    call.world.err << "harp: " << readable(told["error"].dump()) << (told.value("next", "").empty() ? "" : "harp: next: " + readable(told["next"].dump()));
  return {};
}

int run_storage(const cli_call& call, const std::string& words) {
  if (is_content(words))
    return run_content(call, words);
  for (const auto& known : calls)
    if (words == known.words) {
      auto arguments = known.arguments(call.settings.storage);
      if (!read_token(arguments)) {
        call.world.err << "harp: no token on standard input\n";
        return exit_usage;
      }
      int code = exit_fine;
      auto body = storage_call(call, known.name, arguments, code);
      if (code == exit_fine)
        print_answer(call, words, body);
      auto told = json::parse(body, nullptr, false);
      bool problem = told.is_object() && told.contains("problems") && told["problems"].is_array() && !told["problems"].empty();
      return code == exit_fine && problem ? exit_problem : code;
    }
  return exit_usage;
}

} // namespace harp::web
