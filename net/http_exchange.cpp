#include "net/http_exchange.hpp"

#include <algorithm>

namespace harp::net {

void verdict::clear() {
  what = action::respond;
  status = 503;
  content_type = "text/plain";
  fields.clear();
  body.clear();
  close = false;
  to.reset();
  target.clear();
  set_fields.clear();
  pass_fields = true;
  allow_upgrade = true;
  allow_body = true;
  response_limit = std::chrono::milliseconds{0};
  counted_statuses.reset();
  client = {};
  app.clear();
  body_bytes_max = 0;
}

http_exchange::http_exchange() : in(exchange_buffer_bytes), back(exchange_buffer_bytes) {}

void http_exchange::clear() {
  in_bytes = head_bytes = back_bytes = 0;
  head.clear();
  answer.clear();
  decision.clear();
  out.clear();
  reply.clear();
  for (auto* buffer : {&in, &back})
    if (buffer->size() > exchange_buffer_bytes)
      *buffer = std::vector<char>(exchange_buffer_bytes);
  for (auto* text : {&out, &reply})
    if (text->capacity() > exchange_buffer_bytes)
      *text = std::string{};
}

body_reader::body_reader(stream& from, body_kind kind, uint64_t length, std::string_view already)
  : from_(from),
    kind_(kind),
    left_(length),
    input_(already),
    ended_(kind == body_kind::none || (kind == body_kind::length && length == 0)) {}

bool body_reader::complete_in_memory() const {
  return ended_ || (kind_ == body_kind::length && input_.size() >= left_);
}

body_reader::result body_reader::from_input(std::string_view& data) {
  if (kind_ == body_kind::chunked) {
    auto step = chunks_.next(input_);
    data = step.data;
    input_.remove_prefix(step.consumed);
    if (step.status == parse_status::bad) {
      failure_ = chunks_.reason();
      return result::failed;
    }
    ended_ = step.status == parse_status::done;
    if (!data.empty())
      return result::data;
    return ended_ ? result::end : result::again;
  }
  size_t bytes = input_.size();
  if (kind_ == body_kind::length) {
    bytes = static_cast<size_t>(std::min<uint64_t>(bytes, left_));
    left_ -= bytes;
    ended_ = left_ == 0;
  }
  data = input_.substr(0, bytes);
  input_.remove_prefix(bytes);
  return result::data;
}

body_reader::result body_reader::try_next(std::span<char> space, std::string_view& data) {
  data = {};
  for (;;) {
    if (ended_)
      return result::end;
    if (input_.empty()) {
      auto got = from_.try_read(space);
      if (got.status == io_status::again)
        return result::again;
      if (got.status == io_status::eof && kind_ == body_kind::until_close) {
        ended_ = true;
        return result::end;
      }
      if (got.status != io_status::ok) {
        failure_ = "the body ended early";
        return result::failed;
      }
      input_ = {space.data(), got.bytes};
    }
    auto step = from_input(data);
    if (step != result::again)
      return step;
  }
}

bool body_writer::send(std::string_view data) {
  unsent_ = data;
  sent_ = 0;
  auto done = to_.try_write(pending_, unsent_);
  if (done.status == io_status::failed) {
    failed_ = true;
    return false;
  }
  size_t bytes = done.status == io_status::ok ? done.bytes : 0;
  sent_ = std::min(bytes, pending_.size());
  unsent_.remove_prefix(bytes - sent_);
  if (sent_ < pending_.size() || !unsent_.empty())
    return false;
  pending_.clear();
  sent_ = 0;
  return true;
}

bool body_writer::put(std::string_view data) {
  if (data.empty())
    return true;
  if (kind_ == body_kind::chunked) {
    if (close_chunk_)
      pending_ += chunk_end;
    char line[20];
    pending_.append(line, chunk_head(data.size(), line));
    close_chunk_ = true;
  }
  if (pending_.size() + data.size() <= gather_bytes_max) {
    pending_ += data;
    return true;
  }
  return send(data);
}

bool body_writer::end() {
  if (kind_ == body_kind::chunked) {
    if (close_chunk_)
      pending_ += chunk_end;
    close_chunk_ = false;
    pending_ += last_chunk;
  }
  return flush();
}

bool body_writer::flush() {
  if (close_chunk_) {
    pending_ += chunk_end; // some clients hand a chunk on only when it is whole
    close_chunk_ = false;
  }
  return pending_.empty() || send({});
}

asio::awaitable<bool> body_writer::finish_write() {
  if (failed_)
    co_return false;
  bool sent = co_await write_all(to_, std::string_view{pending_}.substr(sent_), unsent_);
  pending_.clear();
  unsent_ = {};
  sent_ = 0;
  co_return sent;
}

} // namespace harp::net
