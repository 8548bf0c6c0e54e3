// Threads and request reading of the stand-ins.
#include "tests/e2e/connection_server.hpp"

#include <algorithm>
#include <charconv>

namespace harp::e2e {

namespace {

constexpr milliseconds accept_slice = 50ms; // how soon a stop is noticed

bool more(const channel& from, std::string& rest, milliseconds limit) {
  return from.receive(rest, limit) == heard::data;
}

bool read_chunks(const channel& from, std::string& rest, std::string& body, milliseconds limit) {
  for (;;) {
    size_t line = 0;
    while ((line = rest.find("\r\n")) == std::string::npos)
      if (!more(from, rest, limit))
        return false;
    size_t size = 0;
    std::from_chars(rest.data(), rest.data() + line, size, 16);
    while (rest.size() < line + 2 + size + 2)
      if (!more(from, rest, limit))
        return false;
    body.append(rest, line + 2, size);
    rest.erase(0, line + 2 + size + 2);
    if (size == 0)
      return true;
  }
}

} // namespace

std::string received_request::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name)
      return value;
  return {};
}

size_t received_request::count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(headers.begin(), headers.end(),
                                           [name](const auto& one) { return one.first == name; }));
}

std::optional<received_request> read_request(const channel& from, std::string& rest,
                                             milliseconds limit) {
  size_t mark = 0;
  while ((mark = rest.find("\r\n\r\n")) == std::string::npos)
    if (!more(from, rest, limit))
      return std::nullopt;
  received_request out;
  out.head = rest.substr(0, mark + 4);
  rest.erase(0, mark + 4);
  std::string_view head = out.head;
  size_t first = head.find(' ');
  size_t second = head.find(' ', first + 1);
  out.method = head.substr(0, first);
  out.target = head.substr(first + 1, second - first - 1);
  for (size_t line = head.find("\r\n") + 2; line + 2 < head.size();) {
    size_t end = head.find("\r\n", line);
    std::string_view text = head.substr(line, end - line);
    size_t colon = std::min(text.find(':'), text.size());
    std::string name{text.substr(0, colon)};
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string_view value = text.substr(std::min(colon + 1, text.size()));
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    out.headers.emplace_back(std::move(name), std::string{value});
    line = end + 2;
  }
  if (out.header("transfer-encoding") == "chunked")
    return read_chunks(from, rest, out.body, limit) ? std::optional{out} : std::nullopt;
  std::string length = out.header("content-length");
  size_t wanted = length.empty() ? 0 : std::stoull(length);
  while (rest.size() < wanted)
    if (!more(from, rest, limit))
      return std::nullopt;
  out.body = rest.substr(0, wanted);
  rest.erase(0, wanted);
  return out;
}

std::string response_text(int status, const std::string& body, const std::string& type,
                          const std::string& more_headers) {
  return "HTTP/1.1 " + std::to_string(status) + " Stand-in\r\nContent-Type: " + type + "\r\n"
         + more_headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

connection_server::connection_server(handler serve, const std::string& address)
    : serve_(std::move(serve)), listener_(address) {
  acceptor_ = std::thread{[this] { accept_loop(); }};
}

connection_server::~connection_server() {
  stop();
}

void connection_server::accept_loop() {
  while (!stopping_) {
    channel client = listener_.accept(accept_slice);
    if (!client.open())
      continue;
    ++accepted_;
    std::lock_guard lock{guard_};
    threads_.emplace_back([this, own = std::move(client)]() mutable { serve_(own); });
  }
}

void connection_server::stop() {
  stopping_ = true;
  if (acceptor_.joinable())
    acceptor_.join();
  for (auto& thread : threads_)
    if (thread.joinable())
      thread.join();
}

scripted_server::scripted_server(script answer, const std::string& address)
    : answer_(std::move(answer)), server_([this](channel& client) { serve(client); }, address) {}

void scripted_server::serve(channel& client) {
  std::string rest;
  while (!server_.stopping()) {
    if (rest.empty() && client.receive(rest, accept_slice) == heard::silence)
      continue;
    auto request = read_request(client, rest, 10s);
    if (!request)
      return;
    {
      std::lock_guard lock{guard_};
      received_.push_back(*request);
    }
    std::string answer = answer_(*request);
    if (answer.empty() || !client.send(answer))
      return;
  }
}

std::vector<received_request> scripted_server::received() {
  std::lock_guard lock{guard_};
  return received_;
}

} // namespace harp::e2e
