#include "actors/bridge_engines.hpp"

#include "actors/engine_facts.hpp"
#include "actors/port_claims.hpp"
#include "net/http_exchange.hpp"
#include "net/log.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace harp {

namespace {

namespace asio = net::asio;

engine_reply no_reply(engine_trouble trouble, std::string error) {
  engine_reply out;
  out.trouble = trouble;
  out.error = std::move(error);
  return out;
}

std::string head_of(const engine_request& request) {
  std::string out = request.method + " " + request.target
                    + " HTTP/1.1\r\nhost: docker\r\nconnection: close\r\n";
  if (!request.body.empty())
    out += "content-type: " + request.content_type + "\r\n";
  if (!request.body.empty() || request.method != "GET")
    out += "content-length: " + std::to_string(request.body.size()) + "\r\n";
  return out + "\r\n";
}

void keep_fields(const net::response_head& head, engine_reply& into) {
  into.status = head.status;
  for (const auto& field : head.fields) {
    if (field.name == "api-version")
      into.api_version = field.value;
    else if (field.name == "server")
      into.server = field.value;
  }
}

/// Reads the final head; what came behind it stays in `bytes` from `used` on. False: see `into`.
asio::awaitable<bool> read_head(net::stream& from, std::string_view method,
                                std::vector<char>& bytes, size_t& used, net::response_head& head,
                                engine_reply& into) {
  size_t filled = 0;
  size_t searched = 0;
  bytes.resize(net::exchange_buffer_bytes);
  for (;;) {
    if (filled == bytes.size()) // the parser refuses a head beyond its limit first
      bytes.resize(bytes.size() * 2);
    auto got = co_await net::read_some(from, {bytes.data() + filled, bytes.size() - filled});
    if (got.status != net::io_status::ok) {
      into = no_reply(engine_trouble::malformed, "the connection ended before an answer");
      co_return false;
    }
    filled += got.bytes;
    auto parsed = net::parse_response_head(bytes.data(), filled, searched, method, head);
    while (parsed.status == net::parse_status::done && head.status < 200 && head.status != 101) {
      bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(parsed.bytes));
      filled -= parsed.bytes;
      bytes.resize(std::max(bytes.size(), net::exchange_buffer_bytes));
      searched = 0;
      parsed = net::parse_response_head(bytes.data(), filled, searched, method, head);
    }
    if (parsed.status == net::parse_status::bad) {
      into = no_reply(engine_trouble::malformed, parsed.reason);
      co_return false;
    }
    if (parsed.status == net::parse_status::done) {
      used = parsed.bytes;
      bytes.resize(filled);
      co_return true;
    }
  }
}

asio::awaitable<engine_reply> exchange(net::stream& with, const engine_request& request) {
  engine_reply out;
  auto head_text = head_of(request);
  if (!co_await net::write_all(with, head_text, request.body))
    co_return no_reply(engine_trouble::unreachable, "the connection ended while asking");
  std::vector<char> bytes;
  size_t used = 0;
  net::response_head head;
  if (!co_await read_head(with, request.method, bytes, used, head, out))
    co_return out;
  keep_fields(head, out);
  net::body_reader body{
      with, head.body, head.content_length, {bytes.data() + used, bytes.size() - used}};
  std::vector<char> space(net::exchange_buffer_bytes);
  for (;;) {
    std::string_view piece;
    auto step = body.try_next(space, piece);
    if (step == net::body_reader::result::end)
      co_return out;
    if (step == net::body_reader::result::failed)
      co_return no_reply(engine_trouble::malformed, body.failure());
    if (out.body.size() + piece.size() > request.answer_bytes_max)
      co_return no_reply(engine_trouble::malformed, "the answer is too large");
    out.body += piece;
    if (step == net::body_reader::result::again && !co_await with.wait_readable())
      co_return no_reply(engine_trouble::malformed, "the answer stopped");
  }
}

} // namespace

bridge_engines::bridge_engines(bridge& seam, std::map<uint16_t, std::string> sockets)
    : seam_(seam), dialer_(seam.loops().at(0)) {
  sockets_.write(std::move(sockets));
}

void bridge_engines::clear() {
  if (cluster_)
    cluster_->clear();
}

void bridge_engines::set_sockets(std::map<uint16_t, std::string> sockets) {
  auto now = sockets_.read();
  if (auto local = now->find(engine_port_first); local != now->end())
    sockets.insert_or_assign(local->first, local->second);
  sockets_.write(std::move(sockets));
}

std::shared_ptr<const net::upstream> bridge_engines::find(uint16_t port) const {
  auto sockets = sockets_.read();
  if (auto socket = sockets->find(port); socket != sockets->end()) {
    auto to = std::make_shared<net::upstream>();
    to->where = net::upstream::kind::unix_socket;
    to->host = socket->second;
    return to;
  }
  auto tunnels = seam_.answers().tunnels.read();
  auto found = is_engine_port(port) ? tunnels->find(port) : tunnels->end();
  return found == tunnels->end() ? nullptr : found->second;
}

std::string bridge_engines::place(uint16_t port) const {
  if (port == kubernetes_engine)
    return cluster_ ? cluster_->api_server() : std::string{};
  auto where = find(port);
  if (!where)
    return {};
  return where->where == net::upstream::kind::unix_socket ? "unix:" + where->host
                                                          : "tunnel " + where->proxy_name;
}

std::vector<uint16_t> bridge_engines::ports() const {
  std::vector<uint16_t> out;
  for (unsigned port = engine_port_first; port <= engine_port_last; ++port)
    if (find(static_cast<uint16_t>(port)))
      out.push_back(static_cast<uint16_t>(port));
  if (cluster_)
    out.push_back(kubernetes_engine);
  return out;
}

void bridge_engines::ask_engine(uint16_t port, std::shared_ptr<const engine_request> request,
                                std::chrono::milliseconds limit, uint64_t token,
                                caf::actor answer_to) {
  net::launch(seam_.loops().at(0).executor(),
              ask_and_tell(port, std::move(request), net::clock::now() + limit, token,
                           std::move(answer_to)),
              "call to a container engine");
}

bridge_engines::engine_numbers& bridge_engines::numbers(uint16_t port) {
  auto& slot = numbers_[port];
  if (slot)
    return *slot;
  slot = std::make_unique<engine_numbers>();
  auto* fresh = slot.get();
  auto name = port == kubernetes_engine ? std::string{"kubernetes"} : std::to_string(port);
  auto add = [&](const char* metric, const char* help, net::metrics::gauge read) {
    seam_.numbers().add_gauge(metric, help, "engine", name, std::move(read));
  };
  add("harp_engine_reachable", "Whether an engine answered the last request.", [fresh] { return fresh->reachable ? 1.0 : 0.0; });
  add("harp_engine_requests_total", "Requests to an engine.", [fresh] { return static_cast<double>(fresh->requests); });
  add("harp_engine_failures_total", "Requests that an engine did not answer.",
      [fresh] { return static_cast<double>(fresh->failures); });
  add("harp_engine_request_seconds_total", "Time spent waiting for an engine.",
      [fresh] { return static_cast<double>(fresh->busy_us) / 1e6; });
  add("harp_engine_api_minor", "Minor number of an engine's API 1.x; 0 = not told.",
      [fresh] { return static_cast<double>(fresh->api % 1000); });
  return *fresh;
}

asio::awaitable<void> bridge_engines::ask_and_tell(uint16_t port,
                                                   std::shared_ptr<const engine_request> request,
                                                   net::clock::time_point end, uint64_t token,
                                                   caf::actor answer_to) {
  auto began = net::clock::now();
  auto reply = std::make_shared<engine_reply>(co_await talk(port, *request, end));
  auto& noted = numbers(port);
  auto took = std::chrono::duration_cast<std::chrono::microseconds>(net::clock::now() - began);
  net::count(noted.requests);
  net::count(noted.busy_us, static_cast<uint64_t>(took.count()));
  net::count(noted.failures, reply->status == 0 ? 1 : 0);
  noted.reachable = reply->status != 0;
  if (!reply->api_version.empty())
    noted.api = api_number(reply->api_version);
  caf::anon_send(answer_to, engine_told{token, std::move(reply)});
}

asio::awaitable<net::stream_ptr>
bridge_engines::open(const net::upstream& where, net::milliseconds limit, engine_reply& trouble) {
  if (where.where == net::upstream::kind::unix_socket) {
    auto dialled = co_await dialer_.unix_socket(where.host, std::min(limit, engine_connect_limit));
    if (dialled.error == net::dial_error::timeout)
      trouble = no_reply(engine_trouble::timeout, "nobody answers at " + where.host);
    else if (!dialled.stream)
      trouble = no_reply(engine_trouble::unreachable, where.host + " is not there or refuses Harp");
    co_return std::move(dialled.stream);
  }
  auto session = seam_.tunnels().find(where.tunnel);
  if (!session) {
    trouble = no_reply(engine_trouble::unreachable, "its tunnel has just ended");
    co_return nullptr;
  }
  net::work_user user;
  auto opened
      = co_await session->open(where.proxy_name, user, std::min(limit, engine_stream_limit));
  if (opened.error == net::work_error::no_stream)
    trouble = no_reply(engine_trouble::timeout, "its tunnel gives no connection");
  else if (!opened.stream)
    trouble = no_reply(engine_trouble::unreachable, "its tunnel has just ended");
  co_return std::move(opened.stream);
}

asio::awaitable<engine_reply> bridge_engines::talk(uint16_t port, const engine_request& request,
                                                   net::clock::time_point end) {
  if (port == kubernetes_engine && cluster_)
    co_return co_await cluster_->talk(request, end);
  auto where = find(port);
  if (!where)
    co_return no_reply(engine_trouble::unreachable,
                       "no engine is connected on port " + std::to_string(port));
  engine_reply reply;
  auto left = std::chrono::duration_cast<net::milliseconds>(end - net::clock::now());
  auto connection = co_await open(*where, left, reply);
  if (!connection)
    co_return reply;
  bool late = false;
  net::stream* raw = connection.get();
  net::deadline timer{seam_.loops().at(0), [raw, &late] {
                        late = true;
                        raw->cancel();
                      }};
  timer.in(std::max<net::clock::duration>(end - net::clock::now(), net::milliseconds{1}));
  reply = co_await exchange(*connection, request);
  timer.off();
  if (late)
    co_return no_reply(engine_trouble::timeout, "no answer in time");
  co_return reply;
}

} // namespace harp
