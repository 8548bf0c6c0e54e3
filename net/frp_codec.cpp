// frp messages: the JSON reader with its limits, the writer, v1 framing.
#include "net/frp_codec.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

namespace harp::net::frp {

namespace {

using json = nlohmann::json;

/// Builds a tree while it enforces depth and unique keys, which nlohmann's own builder does not.
class strict_builder : public nlohmann::json_sax<json> {
public:
  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool start_object(size_t) override { return open(json::object()); }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    if (open_.back()->contains(value))
      return refuse("duplicate key");
    key_ = std::move(value);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return refuse("not JSON");
  }

  json root;
  const char* error = nullptr;

private:
  bool refuse(const char* why) {
    error = why;
    return false;
  }
  template <class T>
  bool put(T&& value) {
    if (open_.empty())
      return refuse("not an object");
    attach(std::forward<T>(value));
    return true;
  }
  template <class T>
  json* attach(T&& value) {
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::forward<T>(value));
      return &parent.back();
    }
    json& slot = parent[key_];
    slot = std::forward<T>(value);
    return &slot;
  }
  bool open(json value) {
    if (open_.size() >= json_depth_max)
      return refuse("too deep");
    if (!open_.empty()) {
      open_.push_back(attach(std::move(value)));
      return true;
    }
    if (!value.is_object())
      return refuse("not an object");
    root = std::move(value);
    open_.push_back(&root);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<json*> open_; // pointers stay valid: only the innermost container grows
  std::string key_;
};

/// Takes typed fields out of an object; the first wrong one is remembered by its (our own) key.
class field_reader {
public:
  explicit field_reader(const json& from) : from_(from) {}

  void text(const char* key, std::string& into) {
    if (const json* found = find(key)) {
      if (found->is_string())
        into = found->get_ref<const std::string&>();
      else
        wrong(key);
    }
  }
  void flag(const char* key, bool& into) {
    if (const json* found = find(key)) {
      if (found->is_boolean())
        into = found->get<bool>();
      else
        wrong(key);
    }
  }
  void integer(const char* key, int64_t& into) {
    if (const json* found = find(key)) {
      const bool fits
          = found->is_number_unsigned()
                ? found->get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()}
                : found->is_number_integer();
      if (fits)
        into = found->get<int64_t>();
      else
        wrong(key);
    }
  }
  void port(const char* key, uint16_t& into) {
    int64_t value = 0;
    integer(key, value);
    if (value < 0 || value > 65'535)
      wrong(key);
    else
      into = static_cast<uint16_t>(value);
  }
  void texts(const char* key, text_map& into) {
    const json* found = find(key);
    if (!found)
      return;
    if (!found->is_object())
      return wrong(key);
    for (const auto& [name, value] : found->items()) {
      if (!value.is_string())
        return wrong(key);
      into[name] = value.get_ref<const std::string&>();
    }
  }
  const json* object(const char* key) {
    const json* found = find(key);
    if (found && !found->is_object()) {
      wrong(key);
      return nullptr;
    }
    return found;
  }

  std::string error;

private:
  const json* find(const char* key) const {
    auto found = from_.find(key);
    return found == from_.end() || found->is_null() ? nullptr : &*found;
  }
  void wrong(const char* key) { error = std::string{"bad value of "} + key; }

  const json& from_;
};

login read_login(field_reader& in) {
  login out;
  in.text("version", out.version);
  in.text("hostname", out.hostname);
  in.text("os", out.os);
  in.text("arch", out.arch);
  in.text("user", out.user);
  in.text("privilege_key", out.privilege_key);
  in.integer("timestamp", out.timestamp);
  in.text("run_id", out.run_id);
  in.text("client_id", out.client_id);
  in.texts("metas", out.metas);
  in.integer("pool_count", out.pool_count);
  out.drops_early_data = in.object("_nfrp") != nullptr;
  if (const json* spec = in.object("client_spec")) {
    field_reader inner{*spec};
    inner.text("type", out.client_type);
    inner.flag("always_auth_pass", out.always_auth_pass);
    if (!inner.error.empty())
      in.error = inner.error;
  }
  return out;
}

login_resp read_login_resp(field_reader& in) {
  login_resp out;
  in.text("version", out.version);
  in.text("run_id", out.run_id);
  in.text("error", out.error);
  return out;
}

new_proxy read_new_proxy(field_reader& in) {
  new_proxy out;
  in.text("proxy_name", out.name);
  in.text("proxy_type", out.type);
  in.flag("use_encryption", out.use_encryption);
  in.flag("use_compression", out.use_compression);
  in.text("bandwidth_limit", out.bandwidth_limit);
  in.text("bandwidth_limit_mode", out.bandwidth_limit_mode);
  in.text("group", out.group);
  in.text("group_key", out.group_key);
  in.port("remote_port", out.remote_port);
  text_map opaque; // only their form is checked
  in.texts("metas", opaque);
  in.texts("annotations", opaque);
  return out;
}

new_proxy_resp read_new_proxy_resp(field_reader& in) {
  new_proxy_resp out;
  in.text("proxy_name", out.name);
  in.text("remote_addr", out.remote_addr);
  in.text("error", out.error);
  return out;
}

close_proxy read_close_proxy(field_reader& in) {
  close_proxy out;
  in.text("proxy_name", out.name);
  return out;
}

new_work_conn read_new_work_conn(field_reader& in) {
  new_work_conn out;
  in.text("run_id", out.run_id);
  in.text("privilege_key", out.privilege_key);
  in.integer("timestamp", out.timestamp);
  return out;
}

start_work_conn read_start_work_conn(field_reader& in) {
  start_work_conn out;
  in.text("proxy_name", out.name);
  in.text("src_addr", out.src_addr);
  in.text("dst_addr", out.dst_addr);
  in.port("src_port", out.src_port);
  in.port("dst_port", out.dst_port);
  in.text("error", out.error);
  return out;
}

ping read_ping(field_reader& in) {
  ping out;
  in.text("privilege_key", out.privilege_key);
  in.integer("timestamp", out.timestamp);
  return out;
}

pong read_pong(field_reader& in) {
  pong out;
  in.text("error", out.error);
  return out;
}

message read_message(kind what, field_reader& in) {
  switch (what) {
  case kind::login:
    return read_login(in);
  case kind::login_resp:
    return read_login_resp(in);
  case kind::new_proxy:
    return read_new_proxy(in);
  case kind::new_proxy_resp:
    return read_new_proxy_resp(in);
  case kind::close_proxy:
    return read_close_proxy(in);
  case kind::new_work_conn:
    return read_new_work_conn(in);
  case kind::req_work_conn:
    return req_work_conn{};
  case kind::start_work_conn:
    return read_start_work_conn(in);
  case kind::ping:
    return read_ping(in);
  case kind::pong:
    return read_pong(in);
  case kind::foreign:
    break;
  }
  return foreign{};
}

} // namespace

decoded decode_body(kind what, std::string_view text) {
  if (text.size() > message_bytes_max)
    return {{}, "message too long"};
  if (what == kind::foreign)
    return {foreign{}, {}};
  strict_builder builder;
  if (!json::sax_parse(text, &builder))
    return {{}, builder.error ? builder.error : "not JSON"};
  field_reader reader{builder.root};
  decoded out{read_message(what, reader), {}};
  out.error = std::move(reader.error);
  return out;
}

bool is_printable(std::string_view text, size_t bytes_max) {
  if (text.empty() || text.size() > bytes_max)
    return false;
  for (unsigned char c : text)
    if (c < 0x20 || c == 0x7f)
      return false;
  return true;
}

bool is_run_id(std::string_view text) {
  if (!is_printable(text, run_id_bytes_longest))
    return false;
  for (unsigned char c : text)
    if (c > 0x7e)
      return false;
  return true;
}

std::optional<uint64_t> parse_bandwidth(std::string_view text) {
  uint64_t unit = 0;
  if (text.ends_with("MB"))
    unit = uint64_t{1} << 20;
  else if (text.ends_with("KB"))
    unit = uint64_t{1} << 10;
  else
    return std::nullopt;
  text.remove_suffix(2);
  double number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  const double bytes = number * static_cast<double>(unit);
  if (ec != std::errc{} || end != text.data() + text.size() || !std::isfinite(bytes) || bytes < 1
      || bytes > 1e15)
    return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

} // namespace harp::net::frp
