// The control plane under /exapps/app_api, after the key was found right (appapi-harp.md 4.1-4.4).
#pragma once

#include "actors/bridge.hpp"
#include "net/control.hpp"

#include <string>
#include <string_view>

namespace harp {

inline constexpr size_t storage_body_bytes_max = 1024 * 1024;

class bridge_control {
public:
  bridge_control(bridge& seam, std::string local_engine) : seam_(seam), local_engine_(std::move(local_engine)) {}
  /// Answers or forwards what needs no body; asks for the body of the others.
  net::asio::awaitable<void> carry_out(const net::request_head& head, std::string_view target, net::verdict& out);
  /// With the body of a record push.
  net::asio::awaitable<void> store_record(std::string_view target, std::string body, net::verdict& out);

private:
  void engine_call(const net::request_head& head, std::string_view target, net::verdict& out);
  net::asio::awaitable<void> storage_call(const net::request_head& head, std::string_view app_id, net::verdict& out);

  bridge& seam_;
  const std::string local_engine_;
};

/// A plain-text answer.
void answer_text(net::verdict& out, int status, std::string_view text);

} // namespace harp
