// The storage plane of a node: its store, its actors and its links, opened after init or join; and the calls of the CLI.
#pragma once

#include "actors/bridge.hpp"
#include "actors/bridge_apps.hpp"
#include "web/admin.hpp"
#include "web/config.hpp"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string>

namespace harp {

class bridge_storage {
public:
  /// `alone`: for one call while no daemon runs; nothing listens, nothing is dialled but what the call itself needs.
  bridge_storage(bridge& seam, bridge_apps& apps, const web::config& settings, bool alone);
  ~bridge_storage();

  /// Opens what init or join made; does nothing, successfully, when there is nothing yet. Words when it cannot.
  std::string open();
  /// No new work: links end, folders stop, what is being written is finished. Before the actors are waited for.
  void stop();

  net::asio::awaitable<web::call_answer> call(std::string name, std::string arguments);
  net::asio::awaitable<web::call_answer> read_content(std::string handle, uint64_t offset, uint64_t length);
  net::asio::awaitable<web::call_answer> write_content(std::string handle, uint64_t offset, std::string bytes);
  /// What `harp status` says of this plane: `cluster`, `peers`, `spaces`.
  net::asio::awaitable<void> add_status(nlohmann::ordered_json& into);
  /// The address nodes connect to, as bound; empty while nothing listens.
  [[nodiscard]] std::string listening() const;
  /// Damaged contents that were found on this device's disks so far.
  [[nodiscard]] uint64_t scrub_errors() const;

  struct inside; // bridge_storage_inside.hpp

private:
  std::unique_ptr<inside> inside_;
};

} // namespace harp
