// Files that are open through the API, and what the calls about them share.
#pragma once

#include "actors/bridge_storage_calls.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace harp {

using open_ptr = std::shared_ptr<storage_parts::open_file>;

inline constexpr size_t handle_random_bytes = 16;
inline constexpr std::chrono::milliseconds arrival_poll_interval{50};
inline constexpr std::chrono::seconds arrival_wait_max{60}; // for one piece, and for a put file to be taken up

/// A handle for it; empty when open_files_max are open.
std::string add_file(storage_parts& in, const open_ptr& file);
/// Null when it is not open any more; else it was used just now.
open_ptr find_file(storage_parts& in, const std::string& handle);
call_failure no_handle();
call_failure too_many_files();
/// A failure as the API answers it.
web::call_answer failed(const call_failure& failure);
/// arrival_poll_interval.
net::asio::awaitable<void> pause_for_arrival(storage_parts& in);

} // namespace harp
