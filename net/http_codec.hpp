// HTTP/1.1 heads and chunked bodies, strict in both directions (quality.md S1). Bytes <-> structs, no I/O, no allocation
// beyond the field table. What could be read in two ways is an error, never repaired.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harp::net {

inline constexpr size_t head_bytes_max = 64 * 1024; // request line and fields together
inline constexpr size_t head_fields_max = 200;
inline constexpr size_t chunk_line_bytes_max = 256; // size and extensions
inline constexpr size_t trailer_bytes_max = 8 * 1024;

/// Fields that Harp reads itself; everything else is `other` and passes by name.
enum class field_id : uint8_t {
  other,
  accept_encoding,
  authorization,
  authorization_app_api, // AppAPI: base64(user:secret)
  aa_version,
  connection,
  content_length,
  content_type,
  cookie,
  docker_engine_port,
  ex_app_host,
  ex_app_id,
  ex_app_port,
  ex_app_version,
  expect,
  harp_shared_key,
  host,
  keep_alive,
  origin,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  sec_websocket_accept,
  sec_websocket_key,
  sec_websocket_version,
  te,
  trailer,
  transfer_encoding,
  upgrade,
  x_forwarded_for,
  x_real_ip,
};

/// One field line. Views point into the parsed buffer; the name is lower-cased there.
struct http_field {
  std::string_view name;
  std::string_view value; // without surrounding blanks
  field_id id = field_id::other;
};

enum class body_kind : uint8_t { none, length, chunked, until_close };

struct request_head {
  std::string_view method;
  std::string_view
      target; // origin-form: path and query; of an absolute-form target only that part; or "*"
  std::string_view path;  // target before the first '?'
  std::string_view query; // behind it, without '?'
  std::string_view host;  // empty when absent (HTTP/1.0)
  bool has_query = false;
  int minor_version = 1; // HTTP/1.x
  bool keep_alive = true;
  bool expect_continue = false;
  bool upgrade = false; // any Upgrade field together with Connection: upgrade
  bool upgrade_websocket
      = false; // exactly one token `websocket`, GET, version 13 and a key of 16 bytes
  body_kind body = body_kind::none;
  uint64_t content_length = 0;
  std::vector<http_field>
      fields; // in order of arrival; connection-nominated ones have `nominated` set in `hop`
  // Parallel to `fields`: true = hop-by-hop or a look-alike of a known field (`ex_app_id`), not forwarded. Fields that Harp
  // decides by stay false whatever Connection names. `te: trailers` stays false.
  std::vector<bool> hop;

  /// First value of a field, or empty.
  [[nodiscard]] std::string_view value(field_id id) const;
  [[nodiscard]] bool has(field_id id) const;
  void clear();
};

struct response_head {
  int status = 0;
  std::string_view reason;
  int minor_version = 1;
  bool keep_alive = true;
  bool upgrade_websocket
      = false; // Connection: upgrade and exactly one token `websocket`; the caller checks the Accept
  body_kind body = body_kind::none;
  uint64_t content_length = 0;
  std::vector<http_field> fields;
  std::vector<bool> hop;

  [[nodiscard]] std::string_view value(field_id id) const;
  [[nodiscard]] bool has(field_id id) const;
  void clear();
};

enum class parse_status : uint8_t { need_more, done, bad };

struct parse_result {
  parse_status status = parse_status::need_more;
  size_t bytes = 0;        // of the head, when done
  int http_status = 400;   // to answer, when bad: 400, 431, 501 or 505; 502 for a response
  const char* reason = ""; // static text for the log, when bad
};

/// Parses a request head from the start of `data`; lower-cases names in place. Call again with more bytes after need_more;
/// `searched` remembers how far the end was looked for (set it to 0 for a new head). Bad from head_bytes_max on.
/// Refused: bare LF or CR, obs-fold, blank before the colon, control bytes in values (obs-text passes), bytes outside
/// 0x21-0x7e or '#' in the target, CONNECT, authority mismatch between absolute-form and Host, two
/// Host fields (none is accepted, as HaRP does), any doubtful Content-Length (only 1-19 digits;
/// repeated equal values are refused too), Transfer-Encoding other than exactly one `chunked`, CL together with TE, TE in HTTP/1.0, more than head_fields_max fields, `Connection` naming
/// framing or identity fields is NOT an error: those fields are simply treated by their own rules (`hop` stays false).
parse_result parse_request_head(char* data, size_t size, size_t& searched, request_head& out);

/// The same for a response to a `method` request; bad ones give http_status 502. 1xx, 204, 304 and answers to HEAD have no
/// body; 101 has none either. Refused: as above, plus status lines other than `HTTP/1.[01] ddd`, and a body announced on
/// 1xx or 204 (`Content-Length: 0`, which many servers send there, passes as a hop-by-hop field).
parse_result parse_response_head(char* data, size_t size, size_t& searched, std::string_view method,
                                 response_head& out);

/// Decodes a chunked body piece by piece. Strict: hex sizes of 1-16 digits, CRLF everywhere, no bare CR or LF in
/// extensions, trailers without framing fields.
class chunk_decoder {
public:
  struct step {
    parse_status status = parse_status::need_more; // done = the whole body has ended
    size_t consumed = 0;                           // bytes of the input used up
    std::string_view data;                         // body bytes inside the input; may be empty
  };
  /// Consumes from `input` up to and including one run of body data. Call until consumed == input.size() or done/bad.
  step next(std::string_view input);
  [[nodiscard]] const char* reason() const { return reason_; }
  void reset();

private:
  enum class state : uint8_t {
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer,
    trailer_lf,
    end_lf,
    done,
    bad
  };
  void take(char c);
  void take_size(char c);
  void take_trailer(char c);
  void end_trailer_line(char c);
  void start_line();
  void expect(char c, char wanted, const char* otherwise);
  void refuse(const char* why);

  state state_ = state::size;
  uint64_t left_ = 0;
  unsigned digits_ = 0;
  size_t line_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  std::string trailer_; // the current trailer line, checked when complete
  const char* reason_ = "";
};

/// `SIZE\r\n` for a chunk of `bytes` (> 0) into `out` (at least 20 bytes); returns its length. Data and CRLF follow.
size_t chunk_head(size_t bytes, char* out);
inline constexpr std::string_view chunk_end = "\r\n";
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

/// base64(SHA-1(key + RFC 6455 GUID)): what a server must answer to Sec-WebSocket-Key.
std::string websocket_accept(std::string_view key);

/// The standard reason phrase, or "".
std::string_view reason_phrase(int status);

} // namespace harp::net
