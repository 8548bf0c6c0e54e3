// The private CA of the tunnels in HaRP's /certs/frp layout (appapi-harp.md 1.3): made, completed,
// looked at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace harp::net {

inline constexpr unsigned certificate_days_max = 36'500;
inline constexpr unsigned renew_days = 30; // before its end a leaf is issued anew

struct certs_report {
  std::vector<std::string> created;  // file names, in order of creation
  std::vector<std::string> warnings; // what an operator should know, in whole sentences
  std::string error;                 // not empty: the directory cannot be used
};

/// Makes sure that `dir` holds ca.crt, server.crt, server.key, client.crt and client.key as HaRP
/// makes them (RSA 2048, SHA-256, `harp.nc` and `harp.client.nc`). Missing leaf files are issued
/// again under the existing CA, an existing CA is never replaced, and a complete directory is not
/// touched, but for a leaf whose end is near (30 days, or a third of its life when that is less): it
/// is issued anew for its old key, so that the old and the new one serve side by side until then. Files appear by rename, keys with mode 0600. Blocks for up to a second per key: call it
/// at start only. Warns 60, 30 and 7 days before a certificate ends.
certs_report ensure_frp_certs(const std::string& dir, unsigned validity_days);

struct certificate_facts {
  std::string error;   // not empty: nothing else is valid; names the file
  std::string subject; // CN=harp.nc
  std::string issuer;
  std::vector<std::string> names; // subject alternative names: "DNS:harp.nc", "IP:127.0.0.1"
  int64_t not_after_unix_s = 0;
  bool issued_by_ca = false; // `ca_file` was given and its key signed this certificate
};

/// The first certificate of a PEM file.
certificate_facts read_certificate(const std::string& file, const std::string& ca_file = {});

/// A sentence when `not_after_unix_s` is at most 60 days after `now_unix_s` (it names the nearest
/// of the thresholds 60, 30 and 7 days), else empty. `what` is how to call the certificate.
std::string expiry_warning(const std::string& what, int64_t not_after_unix_s, int64_t now_unix_s);

} // namespace harp::net
