// Counters of the data plane (quality.md 5). Counting is one relaxed atomic addition; label values come from fixed or capped
// sets, never from traffic.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace harp::net {

using counter = std::atomic<uint64_t>;

inline void count(counter& which, uint64_t by = 1) {
  which.fetch_add(by, std::memory_order_relaxed);
}

/// Fixed-bucket latency histogram in seconds.
class latency {
public:
  static constexpr std::array<double, 10> bounds_s{0.001, 0.0025, 0.005, 0.01, 0.025,
                                                   0.1,   0.5,    1,     5,    30};
  void observe(double seconds);
  [[nodiscard]] uint64_t bucket(size_t index) const { return buckets_[index]; }
  [[nodiscard]] double sum_s() const { return static_cast<double>(sum_us_) / 1e6; }

private:
  std::array<counter, bounds_s.size() + 1> buckets_{};
  counter sum_us_{0};
};

/// Counters named by a label of a bounded set: at most `values_max`, the rest is counted as "other".
class labelled {
public:
  static constexpr size_t values_max = 256;
  counter& at(std::string_view value);
  [[nodiscard]] std::map<std::string, uint64_t> values() const;

private:
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<counter>, std::less<>> values_;
};

/// Everything that is counted. One per process, shared by reference.
class metrics {
public:
  std::array<counter, 6> http_requests{}; // by status class; [0] = dropped without an answer
  latency http_duration;
  counter http_connections{0}; // open now
  labelled rejects;            // reason
  counter ws_open{0};
  labelled tunnel_logins;      // result
  labelled bridge_requests;    // result
  latency bridge_duration;
  labelled engine_calls;       // "call:result"
  labelled load_shed;          // what
  labelled upstream_failures;  // refused, timeout, closed, ...

  /// Values asked for at scrape time.
  using gauge = std::function<double()>;
  /// A name that ends in _total is shown as a counter.
  void add_gauge(std::string name, std::string help, std::string label, std::string value, gauge read);

  /// Gauges of one name whose label values come and go with members of a cluster: (value, number) pairs, at most
  /// labelled::values_max of them are shown.
  using gauge_list = std::function<std::vector<std::pair<std::string, double>>()>;
  void add_gauges(std::string name, std::string help, std::string label, gauge_list read);

  /// The exposition text of /metrics.
  [[nodiscard]] std::string text() const;

private:
  struct gauge_entry {
    std::string name, help, label, value;
    gauge read;
    gauge_list read_all; // instead of `read`
  };
  mutable std::mutex mutex_;
  std::vector<gauge_entry> gauges_;
};

} // namespace harp::net
