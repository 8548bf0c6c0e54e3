// Stands in for a Nextcloud with AppAPI: answers exapp-meta and user-info as appapi-harp.md 3
// records, or fails as told.
#pragma once

#include "tests/e2e/connection_server.hpp"

#include <set>

namespace harp::e2e {

struct route_entry {
  std::string url;
  int access_level = 0; // 0 public, 1 user, 2 admin
  std::vector<int> bruteforce_protection;
};

/// An ExApp record, as AppAPI registers it.
struct app_entry {
  std::string token = "exapp-secret-of-the-test";
  std::string version = "1.2.3";
  std::string host = "127.0.0.1";
  int port = 0;
  std::vector<route_entry> routes;
};
/// The JSON of a record: the answer of exapp-meta and the body of an exapp_storage push.
std::string record_json(const app_entry& app);

enum class fault : uint8_t {
  none,
  down, // connections are reset
  slow, // 30 s without an answer
  error_500,
  login_page, // 200 with HTML
  redirect,   // to another origin
  broken_json,
  maintenance, // 503
};

/// Users alice, bob (level 1), admin (level 2); password NAME-pw, or the cookie
/// oc_sessionPassphrase=NAME.
class nextcloud_stand_in {
public:
  explicit nextcloud_stand_in(std::string key);
  ~nextcloud_stand_in() { server_.stop(); }

  [[nodiscard]] std::string url() const { return "http://" + server_.address(); }
  void put(const std::string& app_id, app_entry app);
  void remove(const std::string& app_id);
  void log_out(const std::string& user);
  void fail(fault how) { fault_ = how; }
  /// Answers come this much later.
  void delay(milliseconds by) { delay_ms_ = static_cast<int>(by.count()); }

  [[nodiscard]] int meta_calls() const { return meta_calls_; }
  [[nodiscard]] int user_calls() const { return user_calls_; }
  /// The most user-info questions that were open at once.
  [[nodiscard]] int users_at_once_max() const { return users_at_once_max_; }
  /// Every request so far.
  std::vector<received_request> received();

private:
  void serve(channel& client);
  std::string answer(const received_request& request);
  std::string user_info(const received_request& request);
  bool wait_while_slow();

  std::string key_;
  std::atomic<fault> fault_{fault::none};
  std::atomic<int> delay_ms_{0};
  std::atomic<int> meta_calls_{0};
  std::atomic<int> user_calls_{0};
  std::atomic<int> users_at_once_{0};
  std::atomic<int> users_at_once_max_{0};
  std::mutex guard_;
  std::map<std::string, app_entry> apps_;
  std::set<std::string> logged_out_;
  std::vector<received_request> received_;
  connection_server server_;
};

} // namespace harp::e2e
