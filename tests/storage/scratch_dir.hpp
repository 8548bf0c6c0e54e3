// A directory of a test's own, removed with it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>

namespace harp::test {

class scratch_dir {
public:
  /// `in_memory`: on tmpfs where the machine has it, for tests that sync thousands of times.
  explicit scratch_dir(bool in_memory = false) {
    bool memory = in_memory && ::access("/dev/shm", W_OK) == 0;
    std::string name
        = (memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path())
          / "harp-test-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  scratch_dir(const scratch_dir&) = delete;
  scratch_dir& operator=(const scratch_dir&) = delete;
  ~scratch_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

private:
  std::filesystem::path path_;
};

} // namespace harp::test
