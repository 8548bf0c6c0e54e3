// What `harp engine` and `harp apps` ask a running node about its container engines, and the list of additional sockets
// that is kept in STATE/engines.json.
#pragma once

#include "actors/bridge_engines.hpp"
#include "actors/engine_board.hpp"
#include "actors/exapp_call.hpp"
#include "web/admin.hpp"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

class bridge_engines_calls {
public:
  bridge_engines_calls(bridge& seam, bridge_engines& engines,
                       std::shared_ptr<const engine_board> board, std::string state_dir)
      : seam_(seam), engines_(engines), board_(std::move(board)),
        file_(std::move(state_dir) + "/engines.json") {}

  /// Takes over what STATE/engines.json says; words when it cannot be used.
  std::string load();
  /// True for the names that call() takes: engine_ls, engine_check, engine_add, engine_rm, apps_ls, apps_logs, apps_stop,
  /// apps_start.
  static bool knows(std::string_view name);
  /// One call with JSON arguments; answers as web::admin::call does.
  net::asio::awaitable<web::call_answer> call(std::string name, std::string arguments);
  /// Every engine as it is known now; nothing is asked.
  [[nodiscard]] nlohmann::ordered_json list() const;
  /// What an operator should look at, in words, by the last checks and lists of apps.
  [[nodiscard]] std::vector<std::string> findings() const;

private:
  using json = nlohmann::ordered_json;
  web::call_answer add(unsigned port, const std::string& socket);
  web::call_answer remove(unsigned port);
  std::string save(const std::map<uint16_t, std::string>& sockets);
  net::asio::awaitable<web::call_answer> check(unsigned port);
  net::asio::awaitable<web::call_answer> list_apps();
  net::asio::awaitable<web::call_answer> app(exapp_action action, std::string name, unsigned port,
                                             unsigned lines);
  net::asio::awaitable<exapp_answer> order(uint16_t port, exapp_call call);

  bridge& seam_;
  bridge_engines& engines_;
  std::shared_ptr<const engine_board> board_;
  const std::string file_;
};

} // namespace harp
