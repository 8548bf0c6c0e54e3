#include "actors/bridge_cluster.hpp"

#include "net/tls.hpp"
#include "web/version.hpp"

#include <algorithm>
#include <fstream>

namespace harp {

namespace {

namespace asio = net::asio;

constexpr net::milliseconds connect_limit{5'000};

engine_reply no_reply(engine_trouble trouble, std::string error) {
  engine_reply out;
  out.trouble = trouble;
  out.error = std::move(error);
  return out;
}

std::string without_slash(std::string url) {
  while (url.ends_with('/'))
    url.pop_back();
  return url;
}

bool fits_a_field(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f;
  });
}

} // namespace

bridge_cluster::bridge_cluster(bridge& seam, cluster_access access)
    : seam_(seam), access_([&access] {
        access.api_server = without_slash(std::move(access.api_server));
        return std::move(access);
      }()) {}

bool bridge_cluster::read_token(std::string& into) const {
  into = access_.bearer_token;
  if (into.empty()) {
    std::ifstream file{access_.bearer_token_file, std::ios::binary};
    into.resize(bearer_token_bytes_max);
    file.read(into.data(), static_cast<std::streamsize>(into.size()));
    into.resize(static_cast<size_t>(file.gcount()));
    while (!into.empty() && static_cast<unsigned char>(into.back()) <= 0x20)
      into.pop_back();
  }
  return !into.empty() && fits_a_field(into);
}

std::shared_ptr<net::http_client> bridge_cluster::client(std::string& error) {
  std::error_code missing;
  auto changed = std::filesystem::last_write_time(access_.ca_file, missing);
  if (missing)
    changed = {};
  if (client_ && changed == ca_time_)
    return client_;
  net::tls_settings tls;
  tls.verify_peer = access_.verify_tls;
  if (!missing)
    tls.ca_file = access_.ca_file;
  auto made = net::tls_context::client(tls);
  if (auto* words = std::get_if<std::string>(&made)) {
    error = *words;
    return nullptr;
  }
  ca_time_ = changed;
  client_ = std::make_shared<net::http_client>(seam_.loops().at(0),
                                               std::get<std::shared_ptr<net::tls_context>>(made));
  return client_;
}

asio::awaitable<engine_reply> bridge_cluster::talk(const engine_request& request,
                                                   net::clock::time_point end) {
  auto url = net::http_url::parse(access_.api_server + request.target);
  if (!url)
    co_return no_reply(engine_trouble::unreachable,
                       "no API server is known: give HP_K8S_API_SERVER an http or https URL");
  std::string token;
  if (!read_token(token))
    co_return no_reply(engine_trouble::unreachable,
                       "there is no token: give HP_K8S_BEARER_TOKEN_FILE a file with one ("
                           + access_.bearer_token_file + " has none)");
  std::string error;
  auto with = client(error); // kept by this frame: another call may replace the member meanwhile
  if (!with)
    co_return no_reply(engine_trouble::unreachable, error);
  net::fetch_request call;
  call.method = request.method;
  call.url = std::move(*url);
  call.fields = {{"authorization", "Bearer " + token},
                 {"accept", "application/json"},
                 {"user-agent", "harp/" + std::string{web::version}}};
  if (!request.body.empty())
    call.fields.emplace_back("content-type", request.content_type);
  call.body = request.body;
  call.connect_limit = connect_limit;
  auto left = std::chrono::duration_cast<net::milliseconds>(end - net::clock::now());
  call.total_limit = std::max(left, net::milliseconds{1});
  call.body_bytes_max = request.answer_bytes_max;
  call.follow_redirects = false; // the token goes to this server only
  auto answer = co_await with->fetch(std::move(call));
  if (answer.status == 0)
    co_return no_reply(net::clock::now() >= end ? engine_trouble::timeout
                                                : engine_trouble::unreachable,
                       answer.error);
  engine_reply out;
  out.status = answer.status;
  out.body = std::move(answer.body);
  co_return out;
}

} // namespace harp
