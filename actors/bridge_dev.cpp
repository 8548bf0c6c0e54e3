#include "actors/bridge_dev.hpp"

namespace harp {

namespace {

constexpr std::string_view harp_path = "/index.php/apps/app_api/harp/";

void answer(net::verdict& out, web::dev_authority::answer with) {
  out.what = net::verdict::action::respond;
  out.status = with.status;
  out.content_type = "application/json";
  out.body = std::move(with.body);
}

} // namespace

bool bridge_dev::decide_now(const net::request_head& head, const net::connection_facts&, net::verdict& out) {
  auto path = head.path;
  bool known = path.starts_with(harp_path);
  path.remove_prefix(known ? harp_path.size() : 0);
  constexpr std::string_view app_key = "appId=";
  auto app_id = head.query.starts_with(app_key) ? head.query.substr(app_key.size()) : std::string_view{};
  if (known && path == "exapp-meta")
    answer(out, authority_.exapp_meta(app_id));
  else if (known && path == "user-info")
    answer(out, authority_.user_info(head.value(net::field_id::authorization), head.value(net::field_id::cookie)));
  else
    answer(out, {404, R"({"message":"not found"})"});
  return true;
}

} // namespace harp
