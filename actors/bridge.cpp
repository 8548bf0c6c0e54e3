#include "actors/bridge.hpp"

#include "actors/ask.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <caf/send.hpp>

namespace harp {

bridge::bridge(net::runtime& loops, net::tunnel_table& tunnels, net::metrics& numbers,
               std::shared_ptr<hot_answers> answers)
  : loops_(loops), tunnels_(tunnels), metrics_(numbers), answers_(std::move(answers)), client_(loops.at(0), nullptr) {}

namespace {

asio::awaitable<void> fetch_and_tell(net::http_client& client, net::metrics& numbers,
                                     std::shared_ptr<const net::fetch_request> request, uint64_t token,
                                     caf::actor answer_to) {
  auto began = net::clock::now();
  auto answer = std::make_shared<net::fetch_answer>(co_await client.fetch(*request));
  numbers.bridge_duration.observe(std::chrono::duration<double>(net::clock::now() - began).count());
  std::string_view result = answer->status == 0    ? "failed"
                            : answer->status < 400 ? "ok"
                            : answer->status < 500 ? "refused"
                                                   : "error";
  net::count(numbers.bridge_requests.at(result));
  caf::anon_send(answer_to, fetched{token, std::move(answer)});
}

asio::awaitable<void> probe_and_tell(std::shared_ptr<net::tunnel> session, std::chrono::milliseconds limit,
                                     uint64_t token, caf::actor answer_to) {
  bool alive = session && co_await session->alive(limit);
  caf::anon_send(answer_to, probed{token, alive});
}

} // namespace

void bridge::fetch(std::shared_ptr<const net::fetch_request> request, uint64_t token, caf::actor answer_to) {
  net::launch(loops_.at(0).executor(),
              fetch_and_tell(client_, metrics_, std::move(request), token, std::move(answer_to)), "call to Nextcloud");
}

void bridge::probe_tunnel(uint64_t session, std::chrono::milliseconds limit, uint64_t token, caf::actor answer_to) {
  net::launch(loops_.at(0).executor(), probe_and_tell(tunnels_.find(session), limit, token, std::move(answer_to)),
              "tunnel probe");
}

void bridge::end_tunnel(uint64_t session, std::string reason) {
  if (auto found = tunnels_.find(session))
    found->close(std::move(reason));
}

void bridge::end_all_tunnels() {
  for (const auto& session : tunnels_.all())
    session->close("Harp starts its tunnel registry again");
}

void bridge::adopt(actor_handles handles) {
  std::lock_guard lock{mutex_};
  handles_ = std::move(handles);
}

void bridge::release() {
  adopt({});
}

actor_handles bridge::handles() const {
  std::lock_guard lock{mutex_};
  return handles_;
}

void bridge::clear_clients() {
  client_.clear();
}

} // namespace harp
