// Tells the service manager how the node is (systemd's notify protocol, $NOTIFY_SOCKET). Nothing without one.
#pragma once

#include <chrono>
#include <string_view>

namespace harp {

/// Sends one state line such as `READY=1` or `STOPPING=1`.
void notify_service_manager(std::string_view state);

/// How often `WATCHDOG=1` is due (half of $WATCHDOG_USEC); zero = never.
std::chrono::milliseconds watchdog_interval();

} // namespace harp
