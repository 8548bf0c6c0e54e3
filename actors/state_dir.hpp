// The state directory of a node: one opener, its CLI token, and where its console listens.
#pragma once

#include <string>

namespace harp {

/// Holds the directory's lock while it lives. Files: `lock`, `cli.token` (0600, made at every start), `run.json`.
class state_dir {
public:
  state_dir() = default;
  state_dir(const state_dir&) = delete;
  state_dir& operator=(const state_dir&) = delete;
  ~state_dir();
  /// Makes the directory (0700) if needed and takes the lock. Returns why not in words: another opener, a network file
  /// system, no right to write.
  std::string open(const std::string& path);
  /// A fresh random token, written for the CLI of the same user. Empty when it could not be written.
  std::string make_token();
  /// Tells the CLI where the console listens. Replaced by rename.
  bool write_run_file(const std::string& console_address);

private:
  std::string path_;
  int lock_ = -1;
};

} // namespace harp
