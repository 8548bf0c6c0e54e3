#include "actors/bridge_node.hpp"

#include "actors/port_claims.hpp"
#include "actors/service_manager.hpp"
#include "net/certs.hpp"
#include "net/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_future.hpp>
#include <caf/send.hpp>
#include <sodium.h>

#include <unistd.h>

#include <csignal>
#include <thread>

namespace harp {

using net::log_level;

namespace {

unsigned thread_count(const web::config& settings) {
  return settings.threads > 0 ? settings.threads : std::max(1u, std::thread::hardware_concurrency());
}

/// The engine of this machine, on its port of old.
std::map<uint16_t, std::string> engine_sockets(const web::config& settings) {
  std::map<uint16_t, std::string> out;
  if (!settings.local_engine.empty())
    out.emplace(engine_port_first, settings.local_engine);
  return out;
}

} // namespace

bridge_node::bridge_node(web::config settings, web::config_result loaded)
  : settings_(std::move(settings)),
    loaded_(std::move(loaded)),
    loops_(thread_count(settings_)),
    seam_(loops_, tunnels_, metrics_, answers_),
    engines_(seam_, engine_sockets(settings_)),
    engine_calls_(seam_, engines_, board_, settings_.state_dir) {}

bridge_node::~bridge_node() = default;

int bridge_node::run() {
  // Until watch_signals() listens there is nothing to end in order: files appear by rename, the kernel frees the lock.
  for (int number : {SIGTERM, SIGINT, SIGUSR1})
    std::signal(number, [](int) { _exit(web::exit_fine); });
  std::signal(SIGHUP, SIG_IGN); // what is being read is fresh anyway
  auto error = start();
  if (!error.empty()) {
    net::log(log_level::error, "HARP-A002", "front", "the node cannot start",
             {{"cause", error}, {"next", "mend the cause and start again; `harp config check` helps"}});
    stop();
    return web::exit_problem;
  }
  net::launch(loops_.at(0).executor(), watch_signals(), "signals");
  net::launch(loops_.at(0).executor(), watch_health(), "health");
  notify_service_manager("READY=1");
  stop_signal_.wait(0);
  notify_service_manager("STOPPING=1");
  net::log(log_level::info, "HARP-A004", "front", "stopping");
  stop();
  return web::exit_fine;
}

web::admin_answer bridge_node::run_call(const std::string& name, const std::string& arguments) {
  web::admin_answer answer;
  auto error = state_.open(settings_.state_dir);
  if (error.empty() && sodium_init() < 0)
    error = "libsodium cannot be used on this machine";
  if (error.empty()) {
    loops_.start();
    make_actor_system();
    storage_ = std::make_unique<bridge_storage>(seam_, apps_, settings_, true);
    error = storage_->open();
  }
  if (error.empty()) {
    auto done = net::asio::co_spawn(loops_.at(0).executor(), storage_->call(name, arguments), net::asio::use_future).get();
    answer.status = done.status;
    answer.body = std::move(done.body);
  } else {
    answer.error = error;
  }
  stop();
  return answer;
}

net::asio::awaitable<void> bridge_node::watch_signals() {
  net::asio::signal_set signals{loops_.at(0).io(), SIGTERM, SIGINT, SIGUSR1};
  signals.add(SIGHUP);
  for (;;) {
    auto [error, number] = co_await signals.async_wait(net::nothrow);
    if (error)
      co_return;
    if (stop_signal_ != 0) {
      hurry_ = hurry_ || number != SIGHUP; // asked to stop again: do not wait for anybody
    } else if (number == SIGHUP) {
      reload();
    } else {
      stop_signal_ = number;
      stop_signal_.notify_all();
    }
  }
}

/// Feeds the service manager's watchdog while all loops answer, and looks at certificates from time to time.
net::asio::awaitable<void> bridge_node::watch_health() {
  auto watchdog = watchdog_interval();
  auto interval = watchdog.count() > 0 ? std::min(watchdog, health_interval) : health_interval;
  auto certificates_due = net::clock::now();
  net::asio::steady_timer timer{loops_.at(0).io()};
  for (;;) {
    if (net::clock::now() >= certificates_due) {
      renew_certificates();
      read_certificate_ends();
      warn_of_certificates();
      certificates_due = net::clock::now() + certificate_check_interval;
    }
    net::log_repeats();
    timer.expires_after(interval);
    auto [error] = co_await timer.async_wait(net::nothrow);
    if (error || stopping_)
      co_return;
    if (watchdog.count() > 0 && admin_ && admin_->live())
      notify_service_manager("WATCHDOG=1");
  }
}

/// Leafs near their end are issued anew under the same CA; running tunnels keep what they have.
void bridge_node::renew_certificates() {
  if (!frp_ || frp_certs_.empty())
    return;
  auto report = net::ensure_frp_certs(frp_certs_, settings_.cert_validity_days);
  if (report.created.empty())
    return; // warnings are said by warn_of_certificates() and were said at the start
  std::shared_ptr<net::tls_context> fresh;
  auto error = report.error.empty() ? load_frp_tls(fresh) : report.error;
  if (error.empty())
    frp_->use_tls(fresh);
  net::log(error.empty() ? log_level::info : log_level::warn, "HARP-T062", "tunnel", "tunnel certificates were renewed",
           {{"cause", error.empty() ? "the old ones end soon" : error.c_str()},
            {"next", error.empty() ? "nothing: ExApps take theirs at their next deployment, the old ones serve until they end" : "see the directory of the certificates"}});
}

void bridge_node::read_certificate_ends() {
  for (size_t i = 0; i < tunnel_certificates.size(); ++i)
    certificate_ends_[i]
      = net::read_certificate(settings_.certs_dir + "/frp/" + tunnel_certificates[i] + ".crt").not_after_unix_s;
}

void bridge_node::warn_of_certificates() const {
  auto now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (const auto& file : {std::string{"/frp/ca.crt"}, std::string{"/frp/server.crt"}, std::string{"/frp/client.crt"}, std::string{"/cert.pem"}}) {
    auto facts = net::read_certificate(settings_.certs_dir + file);
    auto warning = facts.error.empty() ? net::expiry_warning(settings_.certs_dir + file, facts.not_after_unix_s, now) : std::string{};
    if (!warning.empty())
      net::log(log_level::warn, "HARP-T061", "tunnel", "a certificate ends soon", {{"cause", warning}, {"next", "renew it and send HUP"}});
  }
}

/// HUP: certificates are read again; running connections keep theirs. All or nothing.
void bridge_node::reload() {
  notify_service_manager("RELOADING=1");
  std::shared_ptr<net::tls_context> fresh;
  auto error = https_.load() ? load_tls(fresh) : std::string{};
  if (!error.empty())
    net::log(log_level::error, "HARP-A005", "front", "reload failed, the old certificate stays",
             {{"cause", error}, {"next", "mend cert.pem and send HUP again"}});
  else if (fresh)
    https_ = fresh;
  net::log(log_level::info, "HARP-A006", "front", "reloaded");
  notify_service_manager("READY=1");
}

void bridge_node::wait_for_drain() {
  for (auto& front : fronts_)
    front->drain();
  auto until = net::clock::now() + drain_limit;
  auto busy = [this] {
    size_t total = 0;
    for (auto& front : fronts_)
      total += front->busy();
    return total > 0;
  };
  while (busy() && !hurry_ && net::clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds{20}); // the main thread has nothing else to do
}

void bridge_node::stop() {
  stopping_ = true;
  if (tunnel_gate_)
    tunnel_gate_->refuse();
  for (auto& [name, open] : listeners_)
    if (name == "exapps" || name == "exapps_https" || name == "frp")
      open->stop(); // health and console still answer: not ready, but live
  wait_for_drain();
  for (auto& [name, open] : listeners_)
    open->stop();
  for (const auto& session : tunnels_.all())
    session->close("Harp stops");
  if (storage_)
    storage_->stop();
  if (actors_) {
    if (supervisor_)
      caf::anon_send_exit(supervisor_, caf::exit_reason::user_shutdown);
    supervisor_ = nullptr;
    seam_.release();
    actors_->await_all_actors_done(); // every asker has its answer now
  }
  loops_.stop();
  for (auto& front : fronts_)
    front->clear_pools();
  seam_.clear_clients();
  engines_.clear();
  loops_.drop_handlers(); // sessions end while what they refer to still lives
  listeners_.clear();
  actors_.reset();
}

} // namespace harp
