// Paths, temporary directories and the run's report.
#include "tests/e2e/place.hpp"

#include <openssl/evp.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace harp::e2e {

namespace fs = std::filesystem;

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string{} : std::string{value};
}

void report(const std::string& line) {
  std::cout << line << std::endl;
  std::string file = variable("HARP_TEST_REPORT");
  if (!file.empty())
    std::ofstream{file, std::ios::app} << line << std::endl;
}

} // namespace

std::string checkout() {
  return HARP_SOURCE_DIR;
}

std::string harp_program() {
  std::string given = variable("HARP_BIN");
  if (!given.empty())
    return given;
  return HARP_BINARY_DIR "/harp";
}

std::string sample_program() {
  std::string given = variable("HARP_SAMPLE_BIN");
  if (!given.empty())
    return given;
  return fs::path{harp_program()}.replace_filename("harp-sample-exapp").string();
}

std::string find_program(const std::string& name) {
  std::string peers = variable("HARP_TEST_PEERS");
  std::string path = (peers.empty() ? variable("HOME") + "/.cache/harp-peers" : peers) + "/bin:"
                     + variable("PATH") + ":/usr/sbin:/sbin:/opt/peers/bin:/opt/peers/nfrp/bin";
  std::istringstream parts{path};
  for (std::string part; std::getline(parts, part, ':');) {
    std::string candidate = part + "/" + name;
    if (!part.empty() && ::access(candidate.c_str(), X_OK) == 0)
      return candidate;
  }
  return {};
}

temp_dir::temp_dir() {
  std::string pattern = (fs::temp_directory_path() / "harp-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data()) == nullptr ? std::string{} : pattern;
}

temp_dir::~temp_dir() {
  std::error_code ignored; // what cannot be removed is the system's to clean
  if (!path_.empty() && variable("HARP_TEST_KEEP").empty())
    fs::remove_all(path_, ignored);
}

std::string temp_dir::operator/(std::string_view name) const {
  return path_ + "/" + std::string{name};
}

std::string read_file(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

void write_file(const std::string& path, std::string_view text) {
  std::ofstream{path, std::ios::binary | std::ios::trunc} << text;
}

std::string hex(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (unsigned char byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string base64(std::string_view text) {
  std::string out(4 * ((text.size() + 2) / 3) + 1, '\0'); // OpenSSL writes a NUL behind
  int count = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                              reinterpret_cast<const unsigned char*>(text.data()),
                              static_cast<int>(text.size()));
  out.resize(static_cast<size_t>(count));
  return out;
}

bool until(milliseconds limit, const std::function<bool()>& ready) {
  auto end = clock::now() + limit;
  for (;;) {
    if (ready())
      return true;
    if (clock::now() >= end)
      return false;
    std::this_thread::sleep_for(20ms);
  }
}

void report_ran(const std::string& client) {
  report("ran: " + client);
}

void report_skipped(const std::string& client, const std::string& reason) {
  report("SKIPPED: " + client + ": " + reason);
}

int patience() {
  std::string slow = variable("HARP_TEST_SLOW");
  return slow.empty() ? 1 : 4;
}

} // namespace harp::e2e
