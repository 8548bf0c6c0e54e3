// The control plane under /exapps/app_api, after the key was found right (appapi-harp.md 4.1-4.6).
#pragma once

#include "actors/bridge.hpp"
#include "actors/bridge_engines.hpp"
#include "actors/exapp_call.hpp"
#include "net/control.hpp"

#include <string>
#include <string_view>

namespace harp {

inline constexpr size_t storage_body_bytes_max = 1024 * 1024;

class bridge_apps;

class bridge_control {
public:
  /// `frp_certs` is the directory with what ExApps need for their tunnels.
  bridge_control(bridge& seam, bridge_engines& engines, const bridge_apps& apps, std::string frp_certs)
    : seam_(seam), engines_(engines), apps_(apps), frp_certs_(std::move(frp_certs)) {}
  /// Answers or forwards what needs no body; asks for the body of the others.
  net::asio::awaitable<void> carry_out(const net::request_head& head, std::string_view target, net::verdict& out);
  /// With the body of a call that carry_out() wanted it of.
  net::asio::awaitable<void> complete(const net::request_head& head, std::string_view target, std::string body,
                                      net::verdict& out);

private:
  void engine_call(const net::request_head& head, std::string_view target, net::verdict& out);
  void exapp_call_wanted(const net::request_head& head, std::string_view target, net::verdict& out);
  /// An app in Kubernetes was exposed: its record is asked of Nextcloud and kept with its new place.
  net::asio::awaitable<void> take_over_place(const exapp_call& call, net::verdict& out);
  net::asio::awaitable<void> tell_info(net::verdict& out);
  net::asio::awaitable<exapp_answer> ask_cluster(exapp_action action);
  net::asio::awaitable<void> exapp_order(uint16_t port, exapp_action action, std::string body, net::verdict& out);
  net::asio::awaitable<void> store_record(std::string_view target, std::string body, net::verdict& out);
  void close_app(const exapp_call& call);
  net::asio::awaitable<void> storage_call(const net::request_head& head, std::string_view app_id, net::verdict& out);

  bridge& seam_;
  bridge_engines& engines_;
  const bridge_apps& apps_;
  const std::string frp_certs_;
};

/// A plain-text answer.
void answer_text(net::verdict& out, int status, std::string_view text);

} // namespace harp
