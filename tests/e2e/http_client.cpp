// The tests' HTTP client.
#include "tests/e2e/http_client.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <memory>

namespace harp::e2e {

namespace {

constexpr size_t pattern_period = 251; // as deploy/sample_pages.hpp

std::string pattern_block() {
  std::string block(pattern_period * 1024, '\0');
  for (size_t i = 0; i < block.size(); ++i)
    block[i] = static_cast<char>(i % pattern_period);
  return block;
}

bool is_pattern(std::string_view bytes, uint64_t offset) {
  static const std::string block = pattern_block();
  while (!bytes.empty()) {
    size_t start = static_cast<size_t>(offset % pattern_period);
    size_t now = std::min(bytes.size(), block.size() - start);
    if (bytes.substr(0, now) != std::string_view{block}.substr(start, now))
      return false;
    bytes.remove_prefix(now);
    offset += now;
  }
  return true;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void parse_head(std::string_view head, response& into) {
  size_t space = head.find(' ');
  if (space != std::string_view::npos)
    std::from_chars(head.data() + space + 1, head.data() + head.size(), into.status);
  for (size_t line = head.find("\r\n"); line != std::string_view::npos;) {
    size_t next = head.find("\r\n", line + 2);
    std::string_view text = head.substr(
        line + 2, next == std::string_view::npos ? std::string_view::npos : next - line - 2);
    size_t colon = text.find(':');
    if (colon != std::string_view::npos) {
      std::string_view value = text.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
      into.headers.emplace_back(lower(std::string{text.substr(0, colon)}), std::string{value});
    }
    line = next;
  }
}

milliseconds left_until(clock::time_point end) {
  return std::max(std::chrono::duration_cast<milliseconds>(end - clock::now()), 0ms);
}

} // namespace

std::string response::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name)
      return value;
  return {};
}

size_t response::count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(headers.begin(), headers.end(),
                                           [name](const auto& one) { return one.first == name; }));
}

heard http_client::more(clock::time_point end) {
  return channel_.receive(rest_, left_until(end));
}

response http_client::receive_head(milliseconds limit) {
  auto end = clock::now() + limit;
  for (;;) {
    response out;
    size_t mark = 0;
    while ((mark = rest_.find("\r\n\r\n")) == std::string::npos) {
      out.how = more(end);
      if (out.how != heard::data) {
        out.body = rest_; // what came instead of a head
        if (!rest_.empty())
          out.headers.emplace_back("", rest_);
        return out;
      }
    }
    parse_head(std::string_view{rest_}.substr(0, mark), out);
    rest_.erase(0, mark + 4);
    if (out.status != 100)
      return out;
  }
}

response http_client::receive(milliseconds limit, bool to_head) {
  auto end = clock::now() + limit;
  response out = receive_head(limit);
  if (out.status == 0)
    return out;
  if (to_head || out.status == 101 || out.status == 204 || out.status == 304) {
    out.complete = true;
    return out;
  }
  if (lower(out.header("transfer-encoding")) == "chunked") {
    receive_chunked(out, end);
    return out;
  }
  std::string length = out.header("content-length");
  size_t wanted = length.empty() ? std::string::npos : std::stoull(length);
  while (rest_.size() < wanted && (out.how = more(end)) == heard::data)
    ;
  out.complete = rest_.size() >= wanted || (length.empty() && out.how == heard::end);
  out.body = rest_.substr(0, wanted);
  rest_.erase(0, out.body.size());
  if (out.complete)
    out.how = heard::data;
  return out;
}

void http_client::receive_chunked(response& into, clock::time_point end) {
  auto have = [&](size_t bytes) {
    while (rest_.size() < bytes && (into.how = more(end)) == heard::data)
      ;
    return rest_.size() >= bytes;
  };
  for (;;) {
    size_t line = 0;
    while ((line = rest_.find("\r\n")) == std::string::npos)
      if (!have(rest_.size() + 1))
        return;
    size_t size = 0;
    std::from_chars(rest_.data(), rest_.data() + line, size, 16);
    rest_.erase(0, line + 2);
    if (size == 0)
      break;
    if (!have(size + 2))
      return;
    into.body.append(rest_, 0, size);
    rest_.erase(0, size + 2);
  }
  for (;;) { // trailer
    size_t line = 0;
    while ((line = rest_.find("\r\n")) == std::string::npos)
      if (!have(rest_.size() + 1))
        return;
    rest_.erase(0, line + 2);
    if (line == 0)
      break;
  }
  into.complete = true;
}

response http_client::ask(const std::string& method, const std::string& target,
                          const header_list& headers, const std::string& body, milliseconds limit) {
  send(request_text(method, target, headers, body)); // a refusal may come before all is sent
  return receive(limit, method == "HEAD");
}

std::string request_text(const std::string& method, const std::string& target,
                         const header_list& headers, const std::string& body) {
  std::string out = method + " " + target + " HTTP/1.1\r\n";
  auto given = [&headers](std::string_view name) {
    return std::any_of(headers.begin(), headers.end(),
                       [name](const auto& one) { return lower(one.first) == name; });
  };
  if (!given("host"))
    out += "Host: cloud.example\r\n";
  for (const auto& [name, value] : headers)
    out += name + ": " + value + "\r\n";
  if ((!body.empty() || method == "POST" || method == "PUT") && !given("content-length")
      && !given("transfer-encoding"))
    out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return out + "\r\n" + body;
}

response request(const std::string& address, const std::string& method, const std::string& target,
                 const header_list& headers, const std::string& body, milliseconds limit) {
  http_client client{address};
  if (!client.open()) {
    response out;
    out.how = heard::silence; // nobody listens: not a drop
    return out;
  }
  return client.ask(method, target, headers, body, limit);
}

std::string exchange(const std::string& address, std::string_view bytes, milliseconds limit,
                     heard* how) {
  channel raw = channel::connect(address);
  std::string out;
  heard ended = heard::reset;
  if (raw.open() && raw.send(bytes))
    ended = raw.receive_all(out, limit);
  if (how != nullptr)
    *how = ended;
  return out;
}

download_result download(const std::string& address, const std::string& target,
                         const header_list& headers, milliseconds limit) {
  http_client client{address};
  download_result out;
  auto end = clock::now() + limit;
  if (!client.open() || !client.send(request_text("GET", target, headers)))
    return out;
  response head = client.receive_head(limit);
  out.status = head.status;
  std::string length = head.header("content-length");
  if (length.empty()) { // chunked: small enough to be kept
    client.rest().insert(0, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    response whole = client.receive(left_until(end));
    out.bytes = whole.complete ? whole.body.size() : 0;
    out.pattern_right = is_pattern(whole.body, 0);
    return out;
  }
  uint64_t wanted = std::stoull(length);
  std::string piece = std::move(client.rest());
  for (;;) {
    out.pattern_right = out.pattern_right && is_pattern(piece, out.bytes);
    out.bytes += piece.size();
    piece.clear();
    if (out.bytes >= wanted || client.raw().receive(piece, left_until(end)) != heard::data)
      return out;
  }
}

response upload(const std::string& address, const std::string& target, uint64_t bytes, bool chunked,
                const header_list& headers, milliseconds limit) {
  static const std::string block = pattern_block();
  http_client client{address};
  header_list all = headers;
  all.emplace_back(chunked ? "Transfer-Encoding" : "Content-Length",
                   chunked ? "chunked" : std::to_string(bytes));
  bool sent = client.open() && client.send(request_text("POST", target, all));
  for (uint64_t left = bytes; sent && left > 0;) {
    size_t now = static_cast<size_t>(std::min<uint64_t>(left, block.size()));
    std::string size(16, '\0');
    auto [end, bad] = std::to_chars(size.data(), size.data() + size.size(), now, 16);
    size.resize(static_cast<size_t>(end - size.data()));
    sent = (!chunked || client.send(size + "\r\n"))
           && client.send(std::string_view{block}.substr(0, now))
           && (!chunked || client.send("\r\n"));
    left -= now;
  }
  if (sent && chunked)
    sent = client.send("0\r\n\r\n");
  return client.receive(limit); // also after a refusal in the middle of the body
}

std::string pattern_sha256(uint64_t bytes) {
  static const std::string block = pattern_block();
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free};
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (uint64_t left = bytes; left > 0;) {
    size_t now = static_cast<size_t>(std::min<uint64_t>(left, block.size()));
    EVP_DigestUpdate(context.get(), block.data(), now);
    left -= now;
  }
  std::string sum(EVP_MAX_MD_SIZE, '\0');
  unsigned count = 0;
  EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(sum.data()), &count);
  return hex(std::string_view{sum}.substr(0, count));
}

} // namespace harp::e2e
