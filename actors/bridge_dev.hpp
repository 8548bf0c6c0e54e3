// Serves the development authority on a loopback port, in the shape of Nextcloud's two answers.
#pragma once

#include "net/control.hpp"
#include "web/dev_authority.hpp"

namespace harp {

class bridge_dev : public net::http_gate {
public:
  bool decide_now(const net::request_head& head, const net::connection_facts& from, net::verdict& out) override;

private:
  web::dev_authority authority_;
};

} // namespace harp
