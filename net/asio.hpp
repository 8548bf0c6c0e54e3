// The few Asio names net/ uses everywhere.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace harp::net {

namespace asio = boost::asio;
using boost::system::error_code;

/// Completion token of Harp's coroutines: errors come back as values, nothing throws.
inline constexpr auto nothrow = asio::as_tuple(asio::use_awaitable);

} // namespace harp::net
