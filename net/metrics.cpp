#include "net/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <limits>
#include <unistd.h>

#include <fstream>

namespace harp::net {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

void latency::observe(double seconds) {
  size_t index = 0;
  while (index < bounds_s.size() && seconds > bounds_s[index])
    ++index;
  count(buckets_[index]);
  count(sum_us_, static_cast<uint64_t>(seconds * 1e6));
}

counter& labelled::at(std::string_view value) {
  std::lock_guard lock{mutex_};
  auto found = values_.find(value);
  if (found == values_.end()) {
    if (values_.size() >= values_max)
      value = "other";
    found = values_.try_emplace(std::string{value}, nullptr).first;
    if (!found->second)
      found->second = std::make_unique<counter>(0);
  }
  return *found->second;
}

std::map<std::string, uint64_t> labelled::values() const {
  std::lock_guard lock{mutex_};
  std::map<std::string, uint64_t> result;
  for (const auto& [value, number] : values_)
    result.emplace(value, number->load(std::memory_order_relaxed));
  return result;
}

void metrics::add_gauge(std::string name, std::string help, std::string label, std::string value,
                        gauge read) {
  std::lock_guard lock{mutex_};
  gauges_.push_back({std::move(name), std::move(help), std::move(label), std::move(value), std::move(read), {}});
}

void metrics::add_gauges(std::string name, std::string help, std::string label, gauge_list read) {
  std::lock_guard lock{mutex_};
  gauges_.push_back({std::move(name), std::move(help), std::move(label), {}, {}, std::move(read)});
}

namespace {

MetricFamily& family(std::vector<MetricFamily>& all, const char* name, const char* help, MetricType type) {
  for (auto& known : all)
    if (known.name == name)
      return known;
  MetricFamily made;
  made.name = name;
  made.help = help;
  made.type = type;
  all.push_back(std::move(made));
  return all.back();
}

void add(MetricFamily& to, double value, const char* label = nullptr, std::string label_value = {}) {
  ClientMetric metric;
  if (label != nullptr && *label != '\0')
    metric.label.push_back({label, std::move(label_value)});
  if (to.type == MetricType::Gauge)
    metric.gauge.value = value;
  else
    metric.counter.value = value;
  to.metric.push_back(std::move(metric));
}

void add_labelled(std::vector<MetricFamily>& all, const char* name, const char* help, const char* label,
                  const labelled& from) {
  auto& to = family(all, name, help, MetricType::Counter);
  for (const auto& [value, number] : from.values())
    add(to, static_cast<double>(number), label, value);
}

void add_latency(std::vector<MetricFamily>& all, const char* name, const char* help, const latency& from) {
  auto& to = family(all, name, help, MetricType::Histogram);
  ClientMetric metric;
  uint64_t total = 0;
  for (size_t i = 0; i <= latency::bounds_s.size(); ++i) {
    total += from.bucket(i);
    double bound = i < latency::bounds_s.size() ? latency::bounds_s[i] : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({total, bound});
  }
  metric.histogram.sample_count = total;
  metric.histogram.sample_sum = from.sum_s();
  to.metric.push_back(std::move(metric));
}

double number(const counter& from) {
  return static_cast<double>(from.load(std::memory_order_relaxed));
}

void add_process(std::vector<MetricFamily>& all) {
  std::ifstream stat{"/proc/self/statm"};
  double pages = 0;
  double resident = 0;
  stat >> pages >> resident;
  add(family(all, "process_resident_memory_bytes", "Resident memory.", MetricType::Gauge),
      resident * static_cast<double>(sysconf(_SC_PAGESIZE)));
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  add(family(all, "process_cpu_seconds_total", "CPU time used.", MetricType::Counter),
      static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9);
}

} // namespace

std::string metrics::text() const {
  static constexpr const char* classes[] = {"dropped", "1xx", "2xx", "3xx", "4xx", "5xx"};
  std::vector<MetricFamily> all;
  all.reserve(32);
  auto& requests = family(all, "harp_http_requests_total", "Requests by class of the answer.", MetricType::Counter);
  for (size_t i = 0; i < http_requests.size(); ++i)
    add(requests, number(http_requests[i]), "code", classes[i]);
  add_latency(all, "harp_http_request_duration_seconds", "Head read to answer sent.", http_duration);
  add(family(all, "harp_http_open_connections", "Client connections.", MetricType::Gauge), number(http_connections));
  add_labelled(all, "harp_rejects_total", "Refused requests.", "reason", rejects);
  add(family(all, "harp_ws_open", "Open WebSockets.", MetricType::Gauge), number(ws_open));
  add_labelled(all, "harp_tunnel_logins_total", "frp logins.", "result", tunnel_logins);
  add_labelled(all, "harp_bridge_requests_total", "Calls to Nextcloud.", "result", bridge_requests);
  add_latency(all, "harp_bridge_duration_seconds", "Duration of calls to Nextcloud.", bridge_duration);
  add_labelled(all, "harp_engine_calls_total", "Calls to container engines.", "call", engine_calls);
  add_labelled(all, "harp_load_shed_total", "Refused for load.", "what", load_shed);
  add_labelled(all, "harp_upstream_failures_total", "Upstreams that did not answer.", "reason", upstream_failures);
  add_process(all);
  {
    std::lock_guard lock{mutex_};
    for (const auto& entry : gauges_) {
      auto& into = family(all, entry.name.c_str(), entry.help.c_str(),
                          entry.name.ends_with("_total") ? MetricType::Counter : MetricType::Gauge);
      if (entry.read)
        add(into, entry.read(), entry.label.c_str(), entry.value);
      size_t shown = 0;
      for (const auto& [value, number] : entry.read_all ? entry.read_all() : std::vector<std::pair<std::string, double>>{})
        if (++shown <= labelled::values_max)
          add(into, number, entry.label.c_str(), value);
    }
  }
  return prometheus::TextSerializer{}.Serialize(all);
}

} // namespace harp::net
