// frp messages: the JSON writer with stock's field order and escapes, and v1 framing around bodies.
#include "net/frp_codec.hpp"

namespace harp::net::frp {

namespace {

struct code_of_kind {
  char code;
  kind what;
};

// Known types of wire v1; those Harp does not speak are `foreign` (frp.md 2).
constexpr std::array<code_of_kind, 18> codes{{
    {'o', kind::login},
    {'1', kind::login_resp},
    {'p', kind::new_proxy},
    {'2', kind::new_proxy_resp},
    {'c', kind::close_proxy},
    {'w', kind::new_work_conn},
    {'r', kind::req_work_conn},
    {'s', kind::start_work_conn},
    {'h', kind::ping},
    {'4', kind::pong},
    {'v', kind::foreign},
    {'3', kind::foreign},
    {'u', kind::foreign},
    {'i', kind::foreign},
    {'n', kind::foreign},
    {'m', kind::foreign},
    {'5', kind::foreign},
    {'6', kind::foreign},
}};

/// One JSON object, written field by field; zero values are left out as Go's omitempty does.
class object_writer {
public:
  explicit object_writer(std::string& out) : out_(out) { out_ += '{'; }
  void text(std::string_view key, std::string_view value) {
    if (value.empty())
      return;
    name(key);
    quote(value);
  }
  void flag(std::string_view key, bool value) {
    if (!value)
      return;
    name(key);
    out_ += "true";
  }
  void number(std::string_view key, int64_t value) {
    if (value == 0)
      return;
    name(key);
    out_ += std::to_string(value);
  }
  void texts(std::string_view key, const text_map& values) {
    if (values.empty())
      return;
    name(key);
    object_writer inner{out_};
    for (const auto& [inner_key, value] : values) {
      inner.separate();
      inner.quote(inner_key);
      out_ += ':';
      inner.quote(value);
    }
    inner.end();
  }
  void name(std::string_view key) {
    separate();
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }
  void end() { out_ += '}'; }

private:
  void separate() {
    if (!first_)
      out_ += ',';
    first_ = false;
  }
  void quote(std::string_view value) {
    out_ += '"';
    for (size_t i = 0; i < value.size(); ++i)
      i += escape(value.substr(i));
    out_ += '"';
  }
  /// Writes the first character of `rest`; returns how many bytes more than one it took.
  size_t escape(std::string_view rest) {
    static constexpr char hex[] = "0123456789abcdef";
    const auto c = static_cast<unsigned char>(rest[0]);
    if (c == '"' || c == '\\') {
      out_ += '\\';
      out_ += rest[0];
    } else if (c == '\n') {
      out_ += "\\n";
    } else if (c == '\r') {
      out_ += "\\r";
    } else if (c == '\t') {
      out_ += "\\t";
    } else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
      out_ += "\\u00";
      out_ += hex[c >> 4];
      out_ += hex[c & 15];
    } else if (rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9")) {
      out_ += rest[2] == '\xa8' ? "\\u2028" : "\\u2029";
      return 2;
    } else {
      out_ += rest[0];
    }
    return 0;
  }

  std::string& out_;
  bool first_ = true;
};

void write(object_writer& out, std::string& raw, const login& from) {
  out.text("version", from.version);
  out.text("hostname", from.hostname);
  out.text("os", from.os);
  out.text("arch", from.arch);
  out.text("user", from.user);
  out.text("privilege_key", from.privilege_key);
  out.number("timestamp", from.timestamp);
  out.text("run_id", from.run_id);
  out.text("client_id", from.client_id);
  out.texts("metas", from.metas);
  out.name("client_spec"); // a struct in stock: always present
  object_writer spec{raw};
  spec.text("type", from.client_type);
  spec.flag("always_auth_pass", from.always_auth_pass);
  spec.end();
  out.number("pool_count", from.pool_count);
}

void write(object_writer& out, std::string&, const login_resp& from) {
  out.text("version", from.version);
  out.text("run_id", from.run_id);
  out.text("error", from.error);
}

void write(object_writer& out, std::string&, const new_proxy& from) {
  out.text("proxy_name", from.name);
  out.text("proxy_type", from.type);
  out.flag("use_encryption", from.use_encryption);
  out.flag("use_compression", from.use_compression);
  out.text("bandwidth_limit", from.bandwidth_limit);
  out.text("bandwidth_limit_mode", from.bandwidth_limit_mode);
  out.text("group", from.group);
  out.text("group_key", from.group_key);
  out.number("remote_port", from.remote_port);
}

void write(object_writer& out, std::string&, const new_proxy_resp& from) {
  out.text("proxy_name", from.name);
  out.text("remote_addr", from.remote_addr);
  out.text("error", from.error);
}

void write(object_writer& out, std::string&, const close_proxy& from) {
  out.text("proxy_name", from.name);
}

void write(object_writer& out, std::string&, const new_work_conn& from) {
  out.text("run_id", from.run_id);
  out.text("privilege_key", from.privilege_key);
  out.number("timestamp", from.timestamp);
}

void write(object_writer&, std::string&, const req_work_conn&) {}

void write(object_writer& out, std::string&, const start_work_conn& from) {
  out.text("proxy_name", from.name);
  out.text("src_addr", from.src_addr);
  out.text("dst_addr", from.dst_addr);
  out.number("src_port", from.src_port);
  out.number("dst_port", from.dst_port);
  out.text("error", from.error);
}

void write(object_writer& out, std::string&, const ping& from) {
  out.text("privilege_key", from.privilege_key);
  out.number("timestamp", from.timestamp);
}

void write(object_writer& out, std::string&, const pong& from) {
  out.text("error", from.error);
}

void write(object_writer&, std::string&, const foreign&) {}

void append_body(std::string& out, const message& from) {
  object_writer writer{out};
  std::visit([&](const auto& one) { write(writer, out, one); }, from);
  writer.end();
}

} // namespace

std::string encode_body(const message& from) {
  std::string out;
  if (!std::holds_alternative<foreign>(from))
    append_body(out, from);
  return out;
}

v1_header v1_read_header(std::string_view nine_bytes) {
  if (nine_bytes.size() != v1_header_bytes)
    return {kind::foreign, 0, 0, "short header"};
  v1_header out;
  out.code = nine_bytes[0];
  bool known = false;
  for (const auto& entry : codes)
    if (entry.code == out.code) {
      out.what = entry.what;
      known = true;
    }
  if (!known) {
    out.error = "unknown message type";
    return out;
  }
  uint64_t length = 0;
  for (char c : nine_bytes.substr(1))
    length = length << 8 | static_cast<unsigned char>(c);
  if (length > message_bytes_max) // negative lengths are huge here
    out.error = "message too long";
  else
    out.length = length;
  return out;
}

decoded v1_read_body(const v1_header& header, std::string_view body) {
  decoded out = decode_body(header.what, body);
  if (auto* other = std::get_if<foreign>(&out.value))
    other->code = header.code;
  return out;
}

std::string v1_frame(const message& from) {
  std::string out(v1_header_bytes, '\0');
  append_body(out, from);
  const size_t length = out.size() - v1_header_bytes;
  if (length > message_bytes_max || std::holds_alternative<foreign>(from))
    return {};
  out[0] = codes[from.index()].code; // the table begins in the order of `kind`
  out[7] = static_cast<char>(length >> 8);
  out[8] = static_cast<char>(length);
  return out;
}

} // namespace harp::net::frp
