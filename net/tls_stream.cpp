// The record layer: reads decrypt what the carrier has, writes collect records and send them in one
// go.
#include "net/tls_stream.hpp"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace harp::net {

namespace {

constexpr size_t record_bytes = 16 * 1024; // plain text of one TLS record

/// Memory of the last `out_` that was sent; one per thread, so that steady traffic allocates
/// nothing.
thread_local std::string spare_out;

tls_core* core_of(BIO* bio) {
  return static_cast<tls_core*>(BIO_get_data(bio));
}

int bio_read(BIO* bio, char* into, int size) {
  bool again = false;
  int got = core_of(bio)->take_from_carrier(into, size, again);
  BIO_clear_retry_flags(bio);
  if (again)
    BIO_set_retry_read(bio);
  return got;
}

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  return core_of(bio)->give_to_carrier(data, size);
}

long bio_control(BIO* bio, int command, long, void*) {
  switch (command) {
  case BIO_CTRL_FLUSH:
    return 1;
  case BIO_CTRL_EOF:
    return core_of(bio)->carrier_ended() ? 1 : 0;
  default:
    return 0;
  }
}

const BIO_METHOD* carrier_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "harp stream");
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

} // namespace

tls_core::tls_core(loop& on, stream_ptr inner, std::shared_ptr<tls_context> context)
    : loop_(on), inner_(std::move(inner)), context_(std::move(context)),
      ssl_(SSL_new(context_->native())) {
  BIO* bio = ssl_ ? BIO_new(carrier_method()) : nullptr;
  if (bio == nullptr) {
    ssl_.reset();
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_ex_data(ssl_.get(), 0, this); // for verify_key()
}

// -- the carrier below OpenSSL ------------------------------------------------------------------

int tls_core::take_from_carrier(char* into, int size, bool& again) {
  io_result got = inner_->try_read({into, static_cast<size_t>(size)});
  if (got.status == io_status::ok)
    return static_cast<int>(got.bytes);
  again = got.status == io_status::again;
  carrier_ended_ = got.status == io_status::eof;
  return carrier_ended_ ? 0 : -1;
}

int tls_core::give_to_carrier(const char* data, int size) {
  // Only answers to a peer that floods (key updates) come here unasked: twice the limit ends that.
  if (out_.size() - sent_ > 2 * tls_out_bytes_max)
    return -1;
  if (out_.empty() && out_.capacity() < record_bytes)
    out_.swap(spare_out);
  out_.append(data, static_cast<size_t>(size));
  return size;
}

// -- sending ------------------------------------------------------------------------------------

/// One attempt to send what is there.
void tls_core::send_out() {
  if (!unsent())
    return;
  io_result done = inner_->try_write(std::string_view{out_}.substr(sent_));
  if (done.status == io_status::ok)
    sent_ += done.bytes;
  else if (done.status != io_status::again)
    fail_writing(inner_->failure());
  if (unsent() && !write_failed_)
    return;
  sent_ = 0;
  out_.clear();
  if (out_.capacity() > spare_out.capacity())
    out_.swap(spare_out);
  std::string{}.swap(out_);
}

/// Sends now; what the carrier does not take follows in the background.
void tls_core::push() {
  if (draining_ || closed_)
    return;
  send_out();
  if (!unsent())
    return;
  draining_ = true;
  launch(loop_.executor(), drain(shared_from_this()), "tls drain");
}

asio::awaitable<void> tls_core::drain(std::shared_ptr<tls_core> self) {
  while (self->unsent() && !self->closed_) {
    unsigned cancels = self->cancels_;
    bool writable = co_await self->inner_->wait_writable();
    if (self->closed_)
      break;
    // A cancel() is meant for our users, not for bytes that they have already handed over.
    if (writable)
      self->send_out();
    else if (cancels == self->cancels_) {
      self->fail_writing("the connection was closed");
      break;
    }
  }
  self->draining_ = false;
  if (self->shut_ && !self->closed_)
    self->inner_->shutdown_write();
  self->writer_.resume(!self->closed_);
}

bool tls_core::encrypt(std::string_view plain) {
  size_t written = 0;
  ERR_clear_error();
  // Without SSL_MODE_ENABLE_PARTIAL_WRITE all of it becomes records, because our BIO takes all.
  if (SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &written) == 1)
    return true;
  fail_writing(tls_words(ssl_.get()));
  return false;
}

/// What the peer sent before can still be read: perhaps an early answer.
void tls_core::fail_writing(std::string why) {
  write_failed_ = true;
  if (failure_.empty())
    failure_ = why.empty() ? "the connection was lost" : std::move(why);
}

io_result tls_core::write(std::string_view head, std::string_view body) {
  if (closed_ || shut_ || write_failed_ || end_ == io_status::failed)
    return {io_status::failed, 0};
  if (unsent())
    return {io_status::again, 0};
  size_t taken = 0;
  if (!head.empty() && !body.empty() && head.size() < record_bytes) {
    // A short head shares the first record with what follows: a record costs more than a copy.
    thread_local std::array<char, record_bytes> both;
    size_t of_body = std::min(body.size(), record_bytes - head.size());
    std::memcpy(both.data(), head.data(), head.size());
    std::memcpy(both.data() + head.size(), body.data(), of_body);
    taken = head.size() + of_body;
    if (!encrypt({both.data(), taken}))
      return {io_status::failed, 0};
    head = {};
    body.remove_prefix(of_body);
  }
  for (std::string_view part : {head, body}) {
    part = part.substr(0, tls_out_bytes_max - std::min(tls_out_bytes_max, taken));
    if (part.empty())
      continue;
    if (!encrypt(part))
      return {io_status::failed, 0};
    taken += part.size();
  }
  push();
  if (write_failed_)
    return {io_status::failed, 0};
  return {io_status::ok, taken};
}

asio::awaitable<bool> tls_core::writable(std::shared_ptr<tls_core> self) {
  if (self->closed_)
    co_return false;
  if (!self->unsent() || self->write_failed_)
    co_return true;
  bool writable = co_await suspend(
      [core = self.get()](waiter suspended) { core->writer_ = std::move(suspended); });
  co_return writable;
}

// -- receiving ----------------------------------------------------------------------------------

io_result tls_core::fail(std::string why) {
  failure_ = why.empty() ? "the connection was lost" : std::move(why);
  end_ = io_status::failed;
  return {io_status::failed, 0};
}

/// One step of OpenSSL towards plain bytes.
io_result tls_core::pull(std::span<char> into, bool peek) {
  if (end_ || closed_)
    return {end_.value_or(io_status::failed), 0};
  size_t got = 0;
  ERR_clear_error();
  int done = peek ? SSL_peek_ex(ssl_.get(), into.data(), into.size(), &got)
                  : SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
  if (done == 1)
    return {io_status::ok, got};
  switch (SSL_get_error(ssl_.get(), done)) {
  case SSL_ERROR_WANT_READ:
    starved_ = true;
    return {io_status::again, 0};
  case SSL_ERROR_ZERO_RETURN:
    end_ = io_status::eof;
    return {io_status::eof, 0};
  default:
    break;
  }
  if (carrier_ended_ && context_->settings().tolerate_truncation) {
    end_ = io_status::eof;
    return {io_status::eof, 0};
  }
  std::string words = tls_words(ssl_.get());
  return fail(words.empty() ? inner_->failure() : words);
}

io_result tls_core::read(std::span<char> into) {
  size_t total = 0;
  io_result last;
  do {
    last = pull(into.subspan(total), false);
    total += last.bytes;
  } while (last.status == io_status::ok && total < into.size() && SSL_has_pending(ssl_.get()) == 1);
  push(); // alerts and answers to key updates
  return total != 0 ? io_result{io_status::ok, total} : last;
}

asio::awaitable<bool> tls_core::readable(std::shared_ptr<tls_core> self) {
  char byte = 0;
  while (!self->closed_) {
    // Bytes of the carrier are not yet plain bytes: half a record, or none for us. So look, unless
    // a read just did.
    bool starved = std::exchange(self->starved_, false);
    if (!starved) {
      io_result seen = self->pull({&byte, 1}, true);
      self->push();
      if (seen.status != io_status::again)
        co_return true;
      self->starved_ = false;
    }
    bool readable = co_await self->inner_->wait_readable();
    if (!readable)
      co_return false;
  }
  co_return false;
}

// -- endings ------------------------------------------------------------------------------------

void tls_core::shutdown_write() {
  if (closed_ || std::exchange(shut_, true))
    return;
  if (!write_failed_ && end_ != io_status::failed) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    push();
  }
  if (!draining_)
    inner_->shutdown_write();
}

void tls_core::cancel() {
  ++cancels_;
  inner_->cancel();
  writer_.resume(false);
}

void tls_core::close(bool reset) {
  if (closed_)
    return;
  // A polite end costs one write; without it the peer could not tell an end from a cut.
  if (!reset && !shut_ && !unsent() && !write_failed_ && end_ != io_status::failed && ssl_
      && SSL_is_init_finished(ssl_.get()) == 1) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    send_out();
  }
  closed_ = true;
  inner_->close(reset);
  std::string{}.swap(out_);
  sent_ = 0;
  writer_.resume(false);
}

bool tls_core::half_closes() const {
  // Before TLS 1.3 close_notify ended both directions (RFC 8446 6.1).
  return inner_->half_closes() && SSL_version(ssl_.get()) >= TLS1_3_VERSION;
}

std::string tls_core::failure() const {
  return failure_.empty() ? inner_->failure() : failure_;
}

} // namespace harp::net
