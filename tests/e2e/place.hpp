// Where the tests find programs and put files: paths from the environment, temporary directories,
// the run's report.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace harp::e2e {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;
using milliseconds = std::chrono::milliseconds;

/// HARP_BIN, else the one of this build.
std::string harp_program();
/// HARP_SAMPLE_BIN, else the one beside harp.
std::string sample_program();
/// The top of the checkout.
std::string checkout();
/// A program on PATH or in one of the usual system directories, in HARP_TEST_PEERS/bin or
/// /opt/peers; "" when missing.
std::string find_program(const std::string& name);

/// A directory that is removed with everything in it. Short path, so that unix sockets fit.
class temp_dir {
public:
  temp_dir();
  temp_dir(const temp_dir&) = delete;
  temp_dir& operator=(const temp_dir&) = delete;
  ~temp_dir();
  [[nodiscard]] std::string operator/(std::string_view name) const;
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view text);
std::string hex(std::string_view bytes);
std::string base64(std::string_view text);

/// Polls `ready` every 20 ms until it is true; false when `limit` is over first. For conditions,
/// never as a pause.
bool until(milliseconds limit, const std::function<bool()>& ready);

/// Notes in the run's report (HARP_TEST_REPORT, printed by tests/run) and on stdout that `client`
/// ran.
void report_ran(const std::string& client);
/// The same for a foreign program that is missing.
void report_skipped(const std::string& client, const std::string& reason);

/// 2 when the programs under test are sanitised or the machine is slow by HARP_TEST_SLOW, else 1:
/// factor for time limits.
int patience();

} // namespace harp::e2e
