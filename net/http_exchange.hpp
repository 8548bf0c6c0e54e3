// Buffers and state of one request and its answer, borrowed while a request is in progress, and the pieces that read and
// write bodies in HTTP's framings.
#pragma once

#include "net/control.hpp"
#include "net/http_codec.hpp"
#include "net/stream.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace harp::net {

inline constexpr size_t exchange_buffer_bytes = 16 * 1024;

/// Reused from request to request; an idle connection holds none.
struct http_exchange {
  std::vector<char> in;   // the request: head, then what came behind it
  size_t in_bytes = 0;    // filled
  size_t head_bytes = 0;  // of them the head
  std::vector<char> back; // the response, likewise
  size_t back_bytes = 0;
  request_head head;
  response_head answer;
  verdict decision;
  std::string out;  // head towards the upstream
  std::string reply; // head and small pieces towards the client

  http_exchange();
  /// Forgets the last request and gives back memory beyond the usual.
  void clear();
  [[nodiscard]] std::string_view behind_head() const { return {in.data() + head_bytes, in_bytes - head_bytes}; }
};

/// Reads a message body from a stream, undoing its framing.
class body_reader {
public:
  enum class result : uint8_t { data, again, end, failed };

  /// `already` are bytes read behind the head; they must stay valid until consumed.
  body_reader(stream& from, body_kind kind, uint64_t length, std::string_view already);
  /// The next piece without waiting. `data` is valid until the next call. Reads into `space` when `already` is used up.
  result try_next(std::span<char> space, std::string_view& data);
  /// Bytes behind the end of the body that came along (a pipelined request).
  [[nodiscard]] std::string_view rest() const { return input_; }
  [[nodiscard]] const char* failure() const { return failure_; }
  [[nodiscard]] bool ended() const { return ended_; }
  /// True when the rest of the body is already in memory.
  [[nodiscard]] bool complete_in_memory() const;

private:
  result from_input(std::string_view& data);

  stream& from_;
  body_kind kind_;
  uint64_t left_;
  std::string_view input_;
  chunk_decoder chunks_;
  bool ended_;
  const char* failure_ = "";
};

/// Writes a message body to a stream in its own framing; small pieces are gathered behind the head.
class body_writer {
public:
  static constexpr size_t gather_bytes_max = 4096;

  /// `pending` holds the head and is flushed with the first piece.
  body_writer(stream& to, body_kind kind, std::string& pending) : to_(to), kind_(kind), pending_(pending) {}
  /// Takes a piece. True when nothing needs waiting; false: await finish_write() before the next call.
  bool put(std::string_view data);
  /// The body has ended: adds the closing frame and flushes. True when nothing needs waiting.
  bool end();
  /// Sends what was gathered. True when nothing needs waiting.
  bool flush();
  /// Waits until the last put(), end() or flush() is out. False when the stream failed.
  asio::awaitable<bool> finish_write();

private:
  bool send(std::string_view data);

  stream& to_;
  body_kind kind_;
  std::string& pending_;
  std::string_view unsent_; // of the piece, behind pending_
  size_t sent_ = 0;         // of pending_
  bool failed_ = false;
  bool close_chunk_ = false; // the CRLF behind the last chunk's data is still due
};

} // namespace harp::net
