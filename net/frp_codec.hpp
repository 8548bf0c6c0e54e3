// frp messages: structs <-> JSON bodies, and the framing of wire v1 around them. Pure; frp.md 2 is
// the source of every fact.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

/// Messages are plain values; how their bodies are framed (v1 here, others beside it) is a separate
/// step, so that a session never sees wire details.
namespace harp::net::frp {

inline constexpr size_t message_bytes_max = 10'240; // JSON bytes, both directions
inline constexpr size_t json_depth_max = 8;
inline constexpr size_t run_id_bytes_longest = 64;
inline constexpr size_t v1_header_bytes = 9; // type, int64 length

using text_map = std::map<std::string, std::string>;

struct login {
  std::string version, hostname, os, arch, user, privilege_key;
  int64_t timestamp = 0;
  std::string run_id, client_id;
  text_map metas;
  std::string client_type; // client_spec.type
  bool always_auth_pass = false;
  int64_t pool_count = 0; // as sent: may be negative or huge
  /// nfrp-client (0.7.3; its mark is the key `_nfrp`) drops what arrives together with StartWorkConn when its service is a
  /// unix socket: its data must come after it has read that message. With frps 3-9 % of its connections hang.
  bool drops_early_data = false;
};

struct login_resp {
  std::string version, run_id, error;
};

struct new_proxy {
  std::string name, type; // an empty type means tcp
  bool use_encryption = false, use_compression = false;
  std::string bandwidth_limit, bandwidth_limit_mode, group, group_key;
  uint16_t remote_port = 0;
};

struct new_proxy_resp {
  std::string name, remote_addr, error;
};

struct close_proxy {
  std::string name;
};

struct new_work_conn {
  std::string run_id, privilege_key;
  int64_t timestamp = 0;
};

struct req_work_conn {};

struct start_work_conn {
  std::string name, src_addr, dst_addr;
  uint16_t src_port = 0, dst_port = 0;
  std::string error;
};

struct ping {
  std::string privilege_key;
  int64_t timestamp = 0;
};

struct pong {
  std::string error;
};

/// A message that frp knows and Harp does not speak (visitors, udp, hole punching). Its body is not
/// looked at.
struct foreign {
  char code = 0;
};

using message = std::variant<login, login_resp, new_proxy, new_proxy_resp, close_proxy,
                             new_work_conn, req_work_conn, start_work_conn, ping, pong, foreign>;

/// The alternatives of `message`, in its order.
enum class kind : uint8_t {
  login,
  login_resp,
  new_proxy,
  new_proxy_resp,
  close_proxy,
  new_work_conn,
  req_work_conn,
  start_work_conn,
  ping,
  pong,
  foreign,
};

/// Either a message or, when `error` is not empty, why there is none.
struct decoded {
  message value;
  std::string error;
};

/// Reads a JSON body. Refuses what is no object, deeper than json_depth_max, has a key twice, a
/// wrong type or an integer out of range; unknown keys are ignored and null means absent, as in
/// stock. Error texts never quote the body.
decoded decode_body(kind what, std::string_view json);

/// Writes the JSON body with stock's field order, omissions and escapes. `foreign` gives nothing.
std::string encode_body(const message& from);

/// A checked v1 header.
struct v1_header {
  kind what = kind::foreign;
  char code = 0;
  size_t length = 0; // of the body, at most message_bytes_max
  std::string error; // non-empty: the stream is unusable
};

v1_header v1_read_header(std::string_view nine_bytes);
/// Decodes the body that belongs to `header`.
decoded v1_read_body(const v1_header& header, std::string_view body);
/// Header and body in one piece; empty when the body would exceed message_bytes_max.
std::string v1_frame(const message& from);

/// True for 1 to `bytes_max` bytes without control characters.
bool is_printable(std::string_view text, size_t bytes_max);
/// True for a run id that may come back from a client: 1 to 64 printable ASCII characters
/// (frp.md 4.8).
bool is_run_id(std::string_view text);
/// `512KB`, `1.5MB` in bytes (base 1024); nothing for other text, which stock ignores (frp.md 4.1).
std::optional<uint64_t> parse_bandwidth(std::string_view text);

} // namespace harp::net::frp
