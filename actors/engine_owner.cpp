#include "actors/engine_owner.hpp"

#include <charconv>

namespace harp {

namespace {

/// Scheme, host and port in lower case, without /index.php and slashes at the end.
std::string plain_url(std::string_view url) {
  std::string out;
  for (char c : url)
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  auto cut = [&out](std::string_view ending) {
    if (out.size() > ending.size() && out.ends_with(ending))
      out.resize(out.size() - ending.size());
  };
  cut("/");
  cut("/index.php");
  cut("/");
  return out;
}

owner_judgement by_label(const std::string& owner, const engine_identity& us) {
  if (plain_url(owner) == plain_url(us.owner))
    return {ownership::ours, {}};
  return {ownership::foreign, owner};
}

bool is_our_secret(std::string_view given, const engine_identity& us) {
  return same_secret(given, us.shared_key) || (us.credentials && us.credentials->verify(given));
}

} // namespace

owner_judgement judge_container(const container_facts& found, const engine_identity& us,
                                std::string_view app_secret) {
  if (auto label = found.labels.find(std::string{owner_label}); label != found.labels.end())
    return by_label(label->second, us);
  auto url = environment_value(found.environment, "NEXTCLOUD_URL");
  std::string other = url ? std::string{*url} : "another Nextcloud";
  if (auto key = environment_value(found.environment, "HP_SHARED_KEY"); key && !key->empty())
    return is_our_secret(*key, us) ? owner_judgement{ownership::adopted, {}}
                                   : owner_judgement{ownership::foreign, other};
  if (!url || plain_url(*url) == plain_url(us.owner))
    return {ownership::adopted, {}};
  // A Nextcloud may be called by several addresses; its secret for the app is its own.
  auto secret = environment_value(found.environment, "APP_SECRET");
  if (secret && same_secret(*secret, app_secret))
    return {ownership::adopted, {}};
  return {ownership::foreign, other};
}

owner_judgement judge_volume(const volume_facts& found, const engine_identity& us) {
  auto label = found.labels.find(std::string{owner_label});
  if (label != found.labels.end())
    return by_label(label->second, us);
  return {ownership::adopted, {}};
}

std::variant<std::vector<std::string>, std::string> exapp_environment(const exapp_call& call,
                                                                      const engine_identity& us) {
  if (us.legacy_exapp_key)
    return call.environment;
  auto out = call.environment;
  for (auto& entry : out) {
    size_t value = entry.find('=') + 1;
    if (!same_secret(std::string_view{entry}.substr(value), us.shared_key))
      continue;
    auto id = environment_value(call.environment, "APP_ID");
    auto port_text = environment_value(call.environment, "APP_PORT").value_or("");
    uint16_t port = 0;
    std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
    auto credential
        = us.credentials ? us.credentials->make(id.value_or(call.name), port) : std::nullopt;
    if (!credential)
      return "no tunnel credential can be made without APP_ID and an APP_PORT of 23000-23999; set "
             "engines.legacy_exapp_key to hand out the shared key instead";
    entry = entry.substr(0, value) + *credential;
  }
  return out;
}

std::vector<std::string> container_findings(const container_facts& found,
                                            const engine_identity& us) {
  std::vector<std::string> out;
  if (auto key = environment_value(found.environment, "HP_SHARED_KEY");
      key && same_secret(*key, us.shared_key))
    out.emplace_back("holds the shared key: deploy it again to give it a tunnel credential");
  for (const auto& directory : found.binds)
    out.push_back("mounts " + directory + " of the engine's host");
  if (!found.labels.contains(std::string{owner_label}))
    out.emplace_back("bears no owner label: it was made by HaRP");
  return out;
}

} // namespace harp
