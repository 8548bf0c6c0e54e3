// Child processes by posix_spawn.
#include "tests/e2e/process.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace harp::e2e {

namespace {

std::vector<std::string> environment_of(const spawn_options& options) {
  std::map<std::string, std::string> all = options.environment;
  for (const char* name : {"PATH", "HOME", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS"})
    if (const char* value = std::getenv(name); value != nullptr)
      all.emplace(name, value);
  std::vector<std::string> out;
  for (const auto& [name, value] : all)
    out.push_back(name + "=" + value);
  return out;
}

/// The command behind small system programs that set what posix_spawn cannot: death with the
/// parent, limits.
std::vector<std::string> wrapped(const std::vector<std::string>& command,
                                 const spawn_options& options) {
  std::vector<std::string> out{"setpriv", "--pdeathsig", "KILL"};
  if (options.descriptors_max > 0) {
    out.emplace_back("prlimit");
    out.push_back("--nofile=" + std::to_string(options.descriptors_max));
  }
  if (!options.directory.empty()) {
    out.emplace_back("env");
    out.push_back("--chdir=" + options.directory);
  }
  out.insert(out.end(), command.begin(), command.end());
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts)
    out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::string after_name(pid_t pid) {
  // the name in parentheses may hold anything; fields are counted behind its end
  std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  size_t end = stat.rfind(')');
  return end == std::string::npos ? std::string{} : stat.substr(end + 1);
}

} // namespace

process::process(const std::vector<std::string>& command, const spawn_options& options) {
  auto words = wrapped(command, options);
  auto settings = environment_of(options);
  auto argv = pointers(words);
  auto envp = pointers(settings);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  std::string output = options.output.empty() ? "/dev/null" : options.output;
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  if (posix_spawnp(&pid_, argv[0], &files, &attributes, argv.data(), envp.data()) != 0)
    pid_ = -1;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
}

process::process(process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), status_(std::exchange(other.status_, std::nullopt)) {}

process& process::operator=(process&& other) noexcept {
  if (this != &other) {
    kill();
    pid_ = std::exchange(other.pid_, -1);
    status_ = std::exchange(other.status_, std::nullopt);
  }
  return *this;
}

process::~process() {
  kill();
}

bool process::running() {
  return started() && !wait(0ms);
}

void process::signal(int number) const {
  if (started() && !status_)
    ::kill(pid_, number);
}

std::optional<int> process::wait(milliseconds limit) {
  if (!started())
    return 127;
  until(limit, [this] {
    int raw = 0;
    if (!status_ && waitpid(pid_, &raw, WNOHANG) == pid_)
      status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    return status_.has_value();
  });
  return status_;
}

int process::stop(milliseconds limit) {
  signal(SIGTERM);
  auto status = wait(limit);
  if (!status)
    kill();
  return status.value_or(128 + SIGKILL);
}

void process::kill() {
  if (!started())
    return;
  if (!status_)
    ::kill(-pid_, SIGKILL); // the group: a program's own children too
  wait(10s);
  pid_ = -1;
}

double process::cpu_seconds() const {
  std::istringstream fields{after_name(pid_)};
  std::string skipped;
  for (int i = 0; i < 11; ++i)
    fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

size_t process::resident_bytes() const {
  std::istringstream fields{read_file("/proc/" + std::to_string(pid_) + "/statm")};
  size_t total = 0;
  size_t resident = 0;
  fields >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

size_t process::descriptors() const {
  size_t count = 0;
  std::error_code ignored; // gone already: none
  std::filesystem::directory_iterator list{"/proc/" + std::to_string(pid_) + "/fd", ignored};
  for (auto it = begin(list); it != end(list); it.increment(ignored))
    ++count;
  return count;
}

run_result run(const std::vector<std::string>& command, spawn_options options, milliseconds limit) {
  temp_dir scratch;
  if (options.output.empty())
    options.output = scratch / "output";
  process child{command, options};
  auto status = child.wait(limit);
  if (!status)
    child.kill();
  return {status.value_or(128 + SIGKILL), read_file(options.output)};
}

} // namespace harp::e2e
