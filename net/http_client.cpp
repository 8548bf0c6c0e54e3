#include "net/http_client.hpp"

#include "net/http_exchange.hpp"
#include "storage/types.hpp"

#include <algorithm>
#include <charconv>

namespace harp::net {

std::optional<http_url> http_url::parse(std::string_view text) {
  http_url url;
  if (text.starts_with("https://")) {
    url.tls = true;
    url.port = 443;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  auto slash = text.find_first_of("/?");
  auto authority = text.substr(0, slash);
  url.target = slash == text.npos ? "/" : std::string{text.substr(slash)};
  if (url.target.front() == '?')
    url.target.insert(0, "/");
  auto bad = [](char c) { return c <= ' ' || c == '#' || c == '@' || c >= 127; };
  if (std::any_of(authority.begin(), authority.end(), bad) || std::any_of(url.target.begin(), url.target.end(), bad))
    return std::nullopt;
  auto colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    auto end = authority.find(']');
    if (end == authority.npos)
      return std::nullopt;
    url.host = authority.substr(1, end - 1);
    colon = authority.find(':', end);
  } else {
    url.host = authority.substr(0, colon);
  }
  if (colon != authority.npos) {
    auto digits = authority.substr(colon + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
    if (error != std::errc{} || end != digits.data() + digits.size() || url.port == 0)
      return std::nullopt;
  }
  if (url.host.empty())
    return std::nullopt;
  return url;
}

std::string http_url::authority() const {
  std::string text = host.find(':') == host.npos ? host : "[" + host + "]";
  if (port != (tls ? 443 : 80))
    text += ":" + std::to_string(port);
  return text;
}

http_client::http_client(loop& on, std::shared_ptr<tls_context> tls)
  : loop_(on), dialer_(on), tls_(std::move(tls)) {}

stream_ptr http_client::take(const http_url& url) {
  auto now = loop_.coarse_now();
  std::erase_if(idle_, [now](const idle_connection& one) { return one.until <= now; });
  for (auto it = idle_.begin(); it != idle_.end(); ++it) {
    if (!it->origin.same_origin(url))
      continue;
    auto taken = std::move(it->stream);
    idle_.erase(it);
    if (taken->is_silent())
      return taken;
    return nullptr;
  }
  return nullptr;
}

asio::awaitable<std::string> http_client::open(const http_url& url, milliseconds limit, stream_ptr& out) {
  auto dialled = co_await dialer_.tcp(url.host, url.port, limit);
  switch (dialled.error) {
    case dial_error::none:
      break;
    case dial_error::unresolvable:
      co_return "the host name cannot be resolved";
    case dial_error::refused:
      co_return "connection refused";
    case dial_error::timeout:
      co_return "no answer to the connect";
    case dial_error::failed:
      co_return "the connection failed";
  }
  if (!url.tls) {
    out = std::move(dialled.stream);
    co_return std::string{};
  }
  if (!tls_) {
    auto made = tls_context::client(tls_settings{});
    if (auto* error = std::get_if<std::string>(&made))
      co_return *error;
    tls_ = std::get<std::shared_ptr<tls_context>>(made);
  }
  auto secured = co_await tls_connect(loop_, std::move(dialled.stream), tls_, url.host, limit);
  out = std::move(secured.stream);
  co_return secured.error;
}

asio::awaitable<http_client::attempt_result> http_client::exchange(const fetch_request& request, stream& connection,
                                                                   bool& keep) {
  attempt_result result;
  std::string out = request.method + " " + request.url.target + " HTTP/1.1\r\nhost: " + request.url.authority() + "\r\n";
  for (const auto& [name, value] : request.fields)
    out += name + ": " + value + "\r\n";
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT")
    out += "content-length: " + std::to_string(request.body.size()) + "\r\n";
  out += "\r\n";
  if (!co_await write_all(connection, out, request.body)) {
    result.stale = true;
    result.answer.error = "the connection closed while asking";
    co_return result;
  }
  std::vector<char> back(exchange_buffer_bytes);
  size_t filled = 0;
  size_t searched = 0;
  response_head head;
  parse_result parsed;
  for (;;) {
    if (filled == back.size())
      back.resize(std::min(back.size() * 2, head_bytes_max));
    auto got = co_await read_some(connection, {back.data() + filled, back.size() - filled});
    if (got.status != io_status::ok) {
      result.stale = filled == 0 && got.status == io_status::eof;
      result.answer.error = "no answer";
      co_return result;
    }
    filled += got.bytes;
    parsed = parse_response_head(back.data(), filled, searched, request.method, head);
    while (parsed.status == parse_status::done && head.status < 200) { // interim answers
      std::copy(back.begin() + static_cast<std::ptrdiff_t>(parsed.bytes), back.begin() + static_cast<std::ptrdiff_t>(filled), back.begin());
      filled -= parsed.bytes;
      searched = 0;
      parsed = parse_response_head(back.data(), filled, searched, request.method, head);
    }
    if (parsed.status == parse_status::bad) {
      result.answer.error = std::string{"the answer is not sound HTTP: "} + parsed.reason;
      co_return result;
    }
    if (parsed.status == parse_status::done)
      break;
  }
  for (const auto& field : head.fields)
    if (field.name == "location")
      result.location = field.value;
  body_reader reader{connection, head.body, head.content_length, {back.data() + parsed.bytes, filled - parsed.bytes}};
  std::vector<char> space(exchange_buffer_bytes);
  for (;;) {
    std::string_view piece;
    auto step = reader.try_next(space, piece);
    if (step == body_reader::result::end)
      break;
    if (step == body_reader::result::failed || result.answer.body.size() + piece.size() > request.body_bytes_max) {
      result.answer.error = step == body_reader::result::failed ? reader.failure() : "the answer is too large";
      result.answer.body.clear();
      co_return result;
    }
    result.answer.body += piece;
    if (step == body_reader::result::again && !co_await connection.wait_readable()) {
      result.answer.error = "the answer stopped";
      co_return result;
    }
  }
  result.answer.status = head.status;
  keep = head.keep_alive && head.body != body_kind::until_close && reader.rest().empty();
  co_return result;
}

asio::awaitable<http_client::attempt_result> http_client::attempt(const fetch_request& request,
                                                                  clock::time_point deadline_at, bool may_reuse) {
  attempt_result result;
  auto left = std::chrono::duration_cast<milliseconds>(deadline_at - clock::now());
  stream_ptr connection = may_reuse ? take(request.url) : nullptr;
  bool reused = connection != nullptr;
  if (!connection) {
    result.answer.error = co_await open(request.url, std::min(left, request.connect_limit), connection);
    if (!connection)
      co_return result;
  }
  bool late = false;
  stream* raw = connection.get();
  deadline timer{loop_, [raw, &late] {
                   late = true;
                   raw->cancel();
                 }};
  timer.in(std::max<clock::duration>(deadline_at - clock::now(), milliseconds{1}));
  bool keep = false;
  result = co_await exchange(request, *connection, keep);
  timer.off();
  result.stale = result.stale && reused;
  if (late) {
    result.answer.error = "no answer in time";
    result.answer.status = 0;
    result.stale = false;
  }
  if (keep && !late && idle_.size() < client_idle_max)
    idle_.push_back({request.url, std::move(connection), loop_.coarse_now() + client_idle_life});
  co_return result;
}

asio::awaitable<fetch_answer> http_client::fetch(fetch_request request) {
  auto deadline_at = clock::now() + request.total_limit;
  for (int hop = 0; hop <= client_redirects_max; ++hop) {
    auto result = co_await attempt(request, deadline_at, true);
    if (result.stale)
      result = co_await attempt(request, deadline_at, false);
    bool redirect = result.answer.status >= 301 && result.answer.status <= 308 && !result.location.empty();
    if (!redirect || !request.follow_redirects) {
      result.answer.location = std::move(result.location);
      co_return std::move(result.answer);
    }
    auto next = result.location.starts_with('/') ? std::optional{request.url} : http_url::parse(result.location);
    if (next && result.location.starts_with('/'))
      next->target = result.location;
    if (!next || !next->same_origin(request.url)) {
      fetch_answer refused;
      refused.error = "redirected to another origin (the key is not sent there)";
      co_return refused;
    }
    request.url = std::move(*next);
  }
  fetch_answer refused;
  refused.error = "too many redirects";
  co_return refused;
}

} // namespace harp::net
