// The one translation unit that compiles Boost's separately compiled parts.
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
