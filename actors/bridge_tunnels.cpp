#include "actors/bridge_tunnels.hpp"

#include "actors/ask.hpp"
#include "net/log.hpp"

#include <caf/send.hpp>

namespace harp {

namespace {

constexpr std::chrono::seconds claim_ask_limit{15}; // a dead holder is probed first, perhaps Nextcloud asked; frpc waits 20 s

/// The words for the client: those of the actor when it refused, else ours.
std::string refusal_text(const caf::error& error, std::string_view otherwise) {
  if (error == ec::bad_key || error == ec::banned || error == ec::busy)
    return error.context().get_as<std::string>(0);
  return std::string{otherwise};
}

} // namespace

bool bridge_tunnels::admit(const ip_address&) {
  return !refusing_;
}

net::asio::awaitable<net::frp_login_answer> bridge_tunnels::login(net::frp_login asked) {
  net::frp_login_answer answer;
  auto facts = std::make_shared<const net::frp_login>(std::move(asked));
  auto& logins = seam_.numbers().tunnel_logins;
  login_question question{facts};
  auto granted = co_await ask<login_grant>(seam_.system(), seam_.handles().gatekeeper, ask_limit, login_atom_v, question);
  if (!granted) {
    net::count(logins.at("refused"));
    answer.error = refusal_text(granted.error(), "login refused: Harp is not ready, try again");
    net::log(net::log_level::warn, "HARP-T010", "tunnel", "login refused",
             {{"client", facts->peer.to_string()},
              {"cause", answer.error},
              {"next", "give the client the shared key or the app's tunnel credential as metadatas.token"}});
    co_return answer;
  }
  session_opening opening{facts, *granted};
  auto run_id = co_await ask<std::string>(seam_.system(), seam_.handles().registry, ask_limit, open_atom_v, opening);
  if (!run_id) {
    net::count(logins.at("shed"));
    answer.error = refusal_text(run_id.error(), "login refused: Harp is not ready, try again");
    co_return answer;
  }
  net::count(logins.at("ok"));
  net::log(net::log_level::info, "HARP-T011", "tunnel", "client logged in",
           {{"client", facts->peer.to_string()}, {"version", facts->version}, {"credential", granted->credential ? "tunnel" : "shared key"}});
  answer.run_id = *run_id;
  co_return answer;
}

net::asio::awaitable<net::frp_claim_answer> bridge_tunnels::claim(uint64_t session, net::frp_proxy asked) {
  net::frp_claim_answer answer;
  claim_question question{session, std::make_shared<const net::frp_proxy>(std::move(asked))};
  auto result = co_await ask<claim_result>(seam_.system(), seam_.handles().registry, claim_ask_limit, claim_atom_v, question);
  if (!result) {
    if (result.error() == ec::no_tunnel) // replaced between its login and its place in the table
      seam_.end_tunnel(session, "replaced by a newer login");
    answer.error = "proxy refused: Harp could not decide in time, it will be asked again";
    co_return answer;
  }
  answer.error = result->error;
  answer.port = result->port;
  if (answer.error.empty())
    net::log(net::log_level::info, "HARP-T012", "tunnel", "proxy registered",
             {{"app", question.proxy->name}, {"port", static_cast<int>(answer.port)}});
  co_return answer;
}

void bridge_tunnels::running(uint64_t session, std::string name) {
  caf::anon_send(seam_.handles().registry, running_atom_v, session, std::move(name));
}

void bridge_tunnels::release(uint64_t session, std::string name) {
  caf::anon_send(seam_.handles().registry, release_atom_v, session, std::move(name));
}

void bridge_tunnels::closed(uint64_t session, std::string reason) {
  caf::anon_send(seam_.handles().registry, closed_atom_v, session, std::move(reason));
}

} // namespace harp
