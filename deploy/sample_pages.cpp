// The sample ExApp's pages.
#include "deploy/sample_pages.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <charconv>

namespace harp::sample {

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '&':
      out += "&amp;";
      break;
    case '"':
      out += "&quot;";
      break;
    default:
      out += c;
    }
  }
  return out;
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  if (c == '+' || c == '-')
    return 62;
  return c == '/' || c == '_' ? 63 : -1;
}

std::string base64_decoded(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  unsigned count = 0;
  for (char c : text) {
    int digit = base64_digit(c);
    if (digit < 0)
      break;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xff);
    }
  }
  return out;
}

constexpr std::string_view echo_text = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>WebSocket echo</title></head>
<body>
<h1>WebSocket echo</h1>
<form><input name="say" placeholder="say something" autofocus> <button>Send</button></form>
<p id="state" role="status">connecting</p>
<ol id="heard"></ol>
<script>
const address = new URL('ws', location.href);
address.protocol = address.protocol.replace('http', 'ws');
const socket = new WebSocket(address);
const state = document.querySelector('#state');
socket.onopen = () => { state.textContent = 'open'; };
socket.onclose = event => { state.textContent = 'closed (' + event.code + ')'; };
socket.onmessage = event => {
  const line = document.createElement('li');
  line.textContent = event.data;
  document.querySelector('#heard').append(line);
};
document.querySelector('form').onsubmit = event => {
  event.preventDefault();
  socket.send(event.target.say.value);
  event.target.reset();
};
</script>
</body></html>
)";

} // namespace

target_parts split_target(std::string_view target) {
  size_t mark = target.find('?');
  if (mark == std::string_view::npos)
    return {target, {}};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

uint64_t query_number(std::string_view query, std::string_view name, uint64_t otherwise) {
  while (!query.empty()) {
    std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), item.size() + 1));
    if (item.size() <= name.size() || !item.starts_with(name) || item[name.size()] != '=')
      continue;
    item.remove_prefix(name.size() + 1);
    uint64_t value = 0;
    auto [end, bad] = std::from_chars(item.data(), item.data() + item.size(), value);
    return bad == std::errc{} && end == item.data() + item.size() ? value : otherwise;
  }
  return otherwise;
}

std::string user_of(const request_head& head) {
  auto found = head.find("authorization-app-api");
  if (found == head.end())
    return {};
  std::string decoded = base64_decoded(found->value());
  return decoded.substr(0, decoded.find(':'));
}

std::string hello_page(const request_head& head) {
  std::string user = user_of(head);
  std::string name = user.empty() ? "visitor" : escaped(user);
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Harp sample"
         "</title></head>\n<body><h1>Hello, "
         + name
         + "!</h1>\n<p>This ExApp has no open port: it listens on a socket file and is reached "
           "through a tunnel.</p>\n<ul><li><a href=\"echo-page\">WebSocket echo</a></li><li>"
           "<a href=\"stream\">event stream</a></li><li><a href=\"whoami\">what arrived here</a>"
           "</li></ul></body></html>\n";
}

std::string_view echo_page() {
  return echo_text;
}

std::string whoami(const request_head& head) {
  nlohmann::json fields = nlohmann::json::array();
  for (const auto& field : head)
    fields.push_back({std::string{field.name_string()}, std::string{field.value()}});
  nlohmann::json answer{{"method", std::string{head.method_string()}},
                        {"target", std::string{head.target()}},
                        {"user", user_of(head)},
                        {"headers", std::move(fields)}};
  return answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace harp::sample
