// What http_forward tells the client when there was no answer to pass on.
#include "net/http_forward.hpp"

#include "net/log.hpp"
#include "net/node_upstream.hpp"

namespace harp::net {

asio::awaitable<bool> http_forward::explain_connect(upstream_error error) {
  struct words {
    const char* label;
    int status;
    const char* cause;
    const char* next;
  };
  static constexpr words table[] = {
    {"none", 502, "no connection", "try again"},
    {"no_tunnel", 503, "no tunnel of this app is connected", "see that the ExApp runs and its frpc can reach the tunnel port"},
    {"no_stream", 504, "the tunnel gave no stream in time", "see that the ExApp's frpc runs and its machine is not overloaded"},
    {"refused", 503, "nothing listens at the app's address", "start the ExApp or its frpc"},
    {"timeout", 503, "the app's address did not answer the connect", "look at the network between Harp and the ExApp"},
    {"unresolvable", 404, "the app's host name cannot be resolved", "look at the ExApp's host in Nextcloud and at DNS"},
    {"failed", 503, "the connection to the app failed", "look at the ExApp and the network"},
    {"no_node", 503, "the node that serves this app is not linked", "see `harp status` for the nodes of the cluster"},
  };
  const auto& entry = table[static_cast<size_t>(error)];
  count(session_.lane_.front.numbers().upstream_failures.at(entry.label));
  log(log_level::warn, "HARP-F202", "front", "upstream not reachable",
      {{"app", exchange_.decision.app}, {"cause", entry.cause}, {"next", entry.next}});
  bool keep = exchange_.head.body == body_kind::none;
  if (entry.status == 404) {
    auto& decision = exchange_.decision;
    decision.status = 404;
    decision.body = "404 Not Found";
    decision.content_type = "text/plain";
    decision.fields.clear();
    co_return co_await session_.respond();
  }
  co_return co_await session_.answer_error(entry.status, entry.cause,
                                           entry.status == 503 ? "retry-after: 1\r\n" : "", !keep);
}

asio::awaitable<bool> http_forward::explain(outcome end) {
  auto& numbers = session_.lane_.front.numbers();
  if (end == outcome::no_answer && exchange_.decision.to->where == upstream::kind::node) {
    if (is_reset_by_node(*upstream_)) { // it dropped the request: so does this end
      session_.reset_ = true;
      session_.finished(0, 0);
      co_return false;
    }
    if (upstream_->peer_gone())
      co_return co_await explain_connect(upstream_error::no_node);
  }
  upstream_->close(true);
  if (end == outcome::broken || answer_begun_) {
    count(numbers.upstream_failures.at("cut"));
    session_.finished(answer_begun_ ? status_ : 0, body_bytes_);
    co_return false;
  }
  if (end == outcome::client_late)
    co_return co_await session_.refuse_head(session_.late_ ? 408 : 400, "the request body did not arrive whole");
  const char* cause = "the app closed the connection without an answer";
  const char* label = "closed";
  int status = 502;
  if (end == outcome::silent) {
    cause = "the app did not answer in time";
    label = "timeout";
    status = 504;
  } else if (end == outcome::bad_answer) {
    cause = "the app's answer was not sound HTTP";
    label = "malformed";
  } else if (end == outcome::refused_upgrade) {
    cause = "the app answered the upgrade wrongly";
    label = "upgrade";
  }
  count(numbers.upstream_failures.at(label));
  log(log_level::warn, "HARP-F203", "front", "no answer from the upstream",
      {{"app", exchange_.decision.app}, {"cause", cause}, {"next", "look at the ExApp's log"}});
  bool close = exchange_.head.body != body_kind::none || end == outcome::refused_upgrade || end == outcome::bad_answer;
  co_return co_await session_.answer_error(status, cause, {}, close);
}

} // namespace harp::net
