// The usual surroundings of a test: a Nextcloud stand-in, the sample ExApp, one node; `app` is
// registered, not tunnelled.
#pragma once

#include "tests/e2e/node.hpp"

#include <nlohmann/json_fwd.hpp>

namespace harp::e2e {

/// Routes over everything the sample can do: /user for users, /admin for admins, the rest public;
/// 418 counts as a failure.
app_entry sample_record(int port);

/// HARP_* and HP_* names and their values.
using settings = std::map<std::string, std::string>;

class site {
public:
  /// `environment` is added to the node's; HP_BLACKLIST_COUNT is 10000 unless given, so that only
  /// ban tests meet bans.
  explicit site(settings environment = {});

  /// Registers `entry` as `app_id` and asks for it once, so that its record is cached.
  void put(const std::string& app_id, const app_entry& entry);
  /// GET /exapps/app + target.
  response app_get(const std::string& target, const header_list& headers = {},
                   milliseconds limit = 10s) const;
  [[nodiscard]] bool started() const { return started_; }

  nextcloud_stand_in nextcloud;
  sample_app sample;
  app_entry app;
  node harp;

private:
  bool started_ = false;
};

/// Values of a header as the sample's /whoami saw them; the name in lower case.
std::vector<std::string> seen(const response& whoami, const std::string& name);
/// Any field of /whoami's answer, as text.
std::string seen_field(const response& whoami, const std::string& field);

} // namespace harp::e2e
