// Tells the admin API how the node is.
#pragma once

#include "actors/bridge.hpp"
#include "actors/bridge_engines_calls.hpp"
#include "actors/bridge_storage.hpp"
#include "net/http_front.hpp"
#include "net/listener.hpp"
#include "web/admin.hpp"
#include "web/config.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace harp {

inline constexpr std::chrono::milliseconds loop_silence_max{5'000}; // a loop that ticks later than this is not live

/// A listener and what it is called in `harp status`.
struct named_listener {
  std::string name;
  std::shared_ptr<net::listener> open;
};

class bridge_admin : public web::admin {
public:
  bridge_admin(bridge& seam, const web::config_result& loaded, const std::vector<named_listener>& listeners,
               bridge_engines_calls& engines, bridge_storage& storage, const std::atomic<bool>& stopping)
    : seam_(seam), loaded_(loaded), listeners_(listeners), engines_(engines), storage_(storage), stopping_(stopping) {}
  net::asio::awaitable<nlohmann::ordered_json> status() override;
  net::asio::awaitable<std::optional<nlohmann::ordered_json>> bans() override;
  net::asio::awaitable<std::optional<uint64_t>> lift(std::string address) override;
  net::asio::awaitable<web::call_answer> call(std::string name, std::string arguments) override {
    if (bridge_engines_calls::knows(name))
      return engines_.call(std::move(name), std::move(arguments));
    return storage_.call(std::move(name), std::move(arguments));
  }
  net::asio::awaitable<web::call_answer> read_content(std::string handle, uint64_t offset, uint64_t length) override {
    return storage_.read_content(std::move(handle), offset, length);
  }
  net::asio::awaitable<web::call_answer> write_content(std::string handle, uint64_t offset, std::string bytes) override {
    return storage_.write_content(std::move(handle), offset, std::move(bytes));
  }
  nlohmann::ordered_json config() override;
  nlohmann::ordered_json readiness(bool& ready) override;
  bool live() override;
  std::string metrics() override { return seam_.numbers().text(); }

private:
  bridge& seam_;
  const web::config_result& loaded_;
  const std::vector<named_listener>& listeners_; // complete before the console listens
  bridge_engines_calls& engines_;
  bridge_storage& storage_;
  const std::atomic<bool>& stopping_;
  const int64_t started_s_ = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
};

} // namespace harp
