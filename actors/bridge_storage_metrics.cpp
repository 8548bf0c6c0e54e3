// What /metrics tells of the storage plane (quality.md 5).
#include "actors/bridge_storage_inside.hpp"
#include "net/metrics.hpp"
#include "net/node_identity.hpp"

#include <filesystem>

namespace harp {

namespace {

namespace fs = std::filesystem;

double bytes_below(const std::string& dir) {
  std::error_code error;
  uintmax_t out = 0;
  for (const auto& entry : fs::directory_iterator{dir, error}) {
    auto size = entry.file_size(error);
    out += error ? 0 : size;
  }
  return static_cast<double>(out);
}

double free_below(const std::string& dir) {
  std::error_code error;
  auto told = fs::space(dir, error);
  return error ? 0 : static_cast<double>(told.available);
}

} // namespace

/// Once, when the cluster starts. Read on the thread of whoever scrapes: snapshots and atomics only.
void bridge_storage::inside::add_gauges(net::metrics& into, const space_id& cluster_space) {
  auto known = plane;
  auto* net = links.get();
  auto dir = settings.state_dir + "/storage";
  into.add_gauges("harp_members", "Members of the cluster by role.", "role", [known, cluster_space] {
    std::map<std::string, double> roles;
    if (auto members = known->rosters->of(cluster_space))
      for (const auto& member : members->members())
        if (!member.is_revoked())
          ++roles[std::string{to_string(members->role_of(member.rid))}];
    return std::vector<std::pair<std::string, double>>{roles.begin(), roles.end()};
  });
  into.add_gauges("harp_link_rtt_seconds", "Smoothed round trip of the links to other nodes.", "peer", [net] {
    std::vector<std::pair<std::string, double>> out;
    for (const auto& [who, trip] : net->round_trips())
      out.emplace_back(net::fingerprint_text(who), std::chrono::duration<double>(trip).count());
    return out;
  });
  into.add_gauge("harp_ops_total", "Operations applied or made since the start.", "", "", [known] { return static_cast<double>(known->counts.ops); });
  into.add_gauge("harp_ops_pending", "Bundles that others announced and that are not here.", "", "", [known] { return static_cast<double>(known->counts.ops_pending); });
  into.add_gauge("harp_chunks_missing", "Contents that are wanted here and not complete.", "", "", [known] { return static_cast<double>(known->counts.contents_missing); });
  into.add_gauge("harp_chunks_bytes", "Size of the packs.", "", "", [dir] { return bytes_below(dir + "/packs"); });
  into.add_gauge("harp_disk_free_bytes", "Free on the disk of the state directory.", "", "", [dir] { return free_below(dir); });
  into.add_gauge("harp_notices_open", "Notices that nobody has put away.", "", "", [this] { return notices_open(); });
}

double bridge_storage::inside::notices_open() const {
  std::vector<std::shared_ptr<space_content>> all;
  {
    std::lock_guard lock{mutex};
    for (const auto& [id, content] : contents)
      all.push_back(content);
  }
  size_t out = 0;
  for (const auto& content : all)
    content->rows().read([&](const read_txn&, space_rows& rows) { out += rows.notices(notices_max).size(); });
  return static_cast<double>(out);
}

} // namespace harp
