#include "actors/bridge_serve.hpp"

#include "actors/bridge_pool.hpp"
#include "storage/peer_codec.hpp"

#include <boost/asio/steady_timer.hpp>

namespace harp {

namespace {

constexpr uint64_t root_bytes_guess = 1024;
constexpr uint64_t segment_entry_bytes = 4 + chunk_id::size;

uint64_t steady_ms() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

/// A piece to be sent, or why not.
struct piece_found {
  std::string bytes;
  missing_reason why = missing_reason::gone;
};

piece_found find_piece(const space_content& content, const serve_item& item) {
  piece_found out;
  if (item.kind == piece_kind::root) {
    out.bytes = content.root_record(item.cid);
    return out;
  }
  auto opened = content.manifest(item.cid);
  auto* manifest = std::get_if<manifest_reader>(&opened);
  if (manifest == nullptr)
    return out;
  if (item.kind == piece_kind::segment) {
    if (item.no < manifest->root().segments.size())
      out.bytes = content.segment(manifest->root().segments[item.no].id);
    return out;
  }
  auto chunk = manifest->chunk(item.no);
  auto* placed = std::get_if<placed_chunk>(&chunk);
  auto read = placed != nullptr ? content.read(item.cid, *placed) : chunk_answer{chunk_refusal{}};
  if (auto* bytes = std::get_if<std::string>(&read))
    out.bytes = std::move(*bytes);
  else if (std::get<chunk_refusal>(read).why == chunk_trouble::changed)
    out.why = missing_reason::changed;
  return out;
}

net::asio::awaitable<bool> write_missing(net::stream& to, missing_message what) {
  auto payload = encode_payload(what);
  co_return co_await net::write_frame(to, static_cast<uint8_t>(message_type::missing), 0, payload);
}

net::asio::awaitable<bool> send_piece(net::stream& to, content_id cid, uint32_t number, piece_found found) {
  if (found.bytes.empty()) {
    missing_message lacks;
    lacks.what = {cid, {{number, 1}}};
    lacks.reason = found.why;
    co_return co_await write_missing(to, std::move(lacks));
  }
  for (size_t at = 0; at < found.bytes.size();) {
    auto piece = std::string_view{found.bytes}.substr(at, frame_piece_bytes);
    data_message data;
    data.cid = cid;
    data.chunk = number;
    data.offset = static_cast<uint32_t>(at);
    at += piece.size();
    data.last = at == found.bytes.size();
    auto head = encode_data_head(data);
    bool sent = co_await net::write_frame(to, static_cast<uint8_t>(message_type::data), 0, {head.data(), head.size()}, piece);
    if (!sent)
      co_return false;
  }
  co_return true;
}

net::asio::awaitable<void> write_busy(net::stream& to, uint32_t retry_ms, want_class cls) {
  auto payload = encode_payload(busy_message{retry_ms, cls});
  co_await net::write_frame(to, static_cast<uint8_t>(message_type::busy), 0, payload);
  to.shutdown_write();
}

} // namespace

uint32_t wire_number(piece_kind kind, uint32_t no) {
  switch (kind) {
    case piece_kind::root:
      return root_chunk_number;
    case piece_kind::segment:
      return segment_chunk_bit | no;
    case piece_kind::chunk:
      break;
  }
  return no;
}

piece_run piece_of(const content_id& cid, uint32_t wire) {
  if (wire == root_chunk_number)
    return {cid, piece_kind::root, 0, 1};
  if ((wire & segment_chunk_bit) != 0)
    return {cid, piece_kind::segment, wire & ~segment_chunk_bit, 1};
  return {cid, piece_kind::chunk, wire, 1};
}

// -- a Want ------------------------------------------------------------------------------------------------------------------

/// What each piece costs, and what is not here. The same words whether a content exists or not (quality.md C02).
bridge_serve::answer bridge_serve::plan(const space_content& content, const want_message& want, uint64_t request, replica_id requester) {
  answer out;
  auto cls = static_cast<transfer_class>(static_cast<int>(want.what) - 1);
  auto lacks = [&out](const want_entry& entry, chunk_run run, missing_reason why) {
    missing_message one;
    one.what = {entry.cid, {run}};
    one.reason = why;
    out.lacks.push_back(std::move(one));
  };
  for (const auto& entry : want.entries) {
    if (!content.references(entry.cid)) {
      lacks(entry, entry.run, missing_reason::denied);
      continue;
    }
    auto first = piece_of(entry.cid, entry.run.first);
    serve_item item{request, requester, cls, entry.cid, first.kind, first.first, root_bytes_guess};
    if (first.kind == piece_kind::root) {
      out.items.push_back(item);
      continue;
    }
    auto opened = content.manifest(entry.cid);
    auto* manifest = std::get_if<manifest_reader>(&opened);
    for (uint32_t i = 0; i < entry.run.count; ++i) {
      item.no = first.first + i;
      if (first.kind == piece_kind::segment) {
        item.bytes = root_segment_chunks_max * segment_entry_bytes;
      } else {
        auto chunk = manifest != nullptr ? manifest->chunk(item.no) : std::variant<placed_chunk, std::string>{std::string{}};
        auto* placed = std::get_if<placed_chunk>(&chunk);
        if (placed == nullptr) { // neither is what follows it
          lacks(entry, {item.no, entry.run.count - i}, missing_reason::gone);
          break;
        }
        item.bytes = placed->ref.bytes;
      }
      if (out.items.size() == serve_items_max) // serve_queue takes no more
        return out;
      out.items.push_back(item);
    }
  }
  return out;
}

net::asio::awaitable<void> bridge_serve::serve(opened_stream opened) {
  auto decoded = decode_payload(static_cast<uint8_t>(message_type::want), opened.payload);
  auto* message = std::get_if<peer_message>(&decoded);
  auto* asked = message != nullptr ? std::get_if<want_message>(message) : nullptr;
  if (asked == nullptr) {
    opened.stream->close(true);
    co_return;
  }
  auto want = std::make_shared<const want_message>(std::move(*asked));
  auto members = plane_->rosters->of(want->space);
  auto content = contents_(want->space);
  bool may = members && content && members->role_of(opened.link->peer()) != member_role::none && members->rid_of(plane_->self) != 0 && plane_->serves(want->space, opened.link->peer());
  if (!may) {
    for (const auto& entry : want->entries) {
      missing_message denied;
      denied.what = {entry.cid, {entry.run}};
      denied.reason = missing_reason::denied;
      bool sent = co_await write_missing(*opened.stream, std::move(denied));
      if (!sent)
        co_return;
    }
    opened.stream->shutdown_write();
    co_return;
  }
  auto what = std::make_shared<job>();
  what->requester = static_cast<replica_id>(std::hash<device_key>{}(opened.link->peer())); // a collision costs fairness, nothing else
  what->content = content;
  {
    std::lock_guard lock{mutex_};
    what->id = next_request_++;
  }
  auto plan_job = [content, want, id = what->id, requester = what->requester] { return plan(*content, *want, id, requester); };
  auto planned = co_await in_pool(plane_->pool, std::move(plan_job));
  if (!planned)
    co_return; // the node stops
  for (auto& lacks : planned->lacks) {
    bool sent = co_await write_missing(*opened.stream, std::move(lacks));
    if (!sent)
      co_return;
  }
  what->opened = std::move(opened);
  what->left = planned->items.size();
  std::optional<uint32_t> retry_ms;
  bool tick_now = false;
  auto& home = what->opened.link->home();
  {
    std::lock_guard lock{mutex_};
    if (stopped_)
      co_return;
    if (what->left != 0) {
      retry_ms = queue_.add(steady_ms(), std::move(planned->items));
      if (!retry_ms) {
        jobs_[{what->requester, what->id}] = what;
        tick_now = !std::exchange(ticking_, true);
      }
    }
  }
  if (retry_ms) {
    co_await write_busy(*what->opened.stream, *retry_ms, want->what);
    co_return;
  }
  if (tick_now)
    net::launch(home.executor(), tick(home), "serve ticks");
  net::launch(home.executor(), watch(what), "serve cancels");
  pump();
  co_await run(what);
}

net::asio::awaitable<void> bridge_serve::run(job_ptr what) {
  bool good = true;
  while (good) {
    bool turn = co_await next_turn(what);
    if (!turn)
      break;
    auto batch = std::make_shared<std::vector<serve_item>>(take_batch(*what));
    good = co_await send(what, batch);
    {
      std::lock_guard lock{mutex_};
      for (const auto& item : *batch)
        queue_.sent(steady_ms(), item);
      what->left -= batch->size();
    }
    pump();
  }
  bool cut = false;
  {
    std::lock_guard lock{mutex_};
    cut = what->ended;
    leave(*what);
  }
  pump();
  if (good && !cut)
    what->opened.stream->shutdown_write();
  else
    what->opened.stream->close(true);
  what->opened.stream->cancel(); // lets watch() end
}

/// What is read in one go: one chunk, or many small files, since each way to the pool and back costs more than reading those.
std::vector<serve_item> bridge_serve::take_batch(job& what) {
  std::vector<serve_item> out;
  uint64_t bytes = 0;
  std::lock_guard lock{mutex_};
  while (!what.ready.empty() && out.size() < serve_batch_items_max && (out.empty() || bytes + what.ready.front().bytes <= serve_batch_bytes_max)) {
    bytes += what.ready.front().bytes;
    out.push_back(what.ready.front());
    what.ready.pop_front();
  }
  return out;
}

/// True when there is an item to send; false when nothing is left, or the stream or the node ended.
net::asio::awaitable<bool> bridge_serve::next_turn(job_ptr what) {
  for (;;) {
    {
      std::lock_guard lock{mutex_};
      if (what->ended || what->left == 0)
        co_return false;
      if (!what->ready.empty())
        co_return true;
    }
    auto store = [this, what](net::waiter whom) {
      {
        std::lock_guard lock{mutex_};
        if (what->ready.empty() && !what->ended && what->left != 0) {
          what->waiting = std::move(whom);
          return;
        }
      }
      whom.resume(true);
    };
    co_await net::suspend(std::move(store));
  }
}

net::asio::awaitable<bool> bridge_serve::send(job_ptr what, std::shared_ptr<const std::vector<serve_item>> batch) {
  auto found_job = [what, batch] {
    std::vector<piece_found> out;
    for (const auto& item : *batch)
      out.push_back(find_piece(*what->content, item));
    return out;
  };
  auto found = co_await in_pool(plane_->pool, std::move(found_job));
  if (!found)
    co_return false;
  for (size_t i = 0; i < batch->size(); ++i) {
    const auto& item = (*batch)[i];
    bool sent = co_await send_piece(*what->opened.stream, item.cid, wire_number(item.kind, item.no), std::move((*found)[i]));
    if (!sent)
      co_return false;
  }
  co_return true;
}

// -- while it is served --------------------------------------------------------------------------------------------------------

/// Cancels of single pieces; a broken stream ends the job before its turn comes.
net::asio::awaitable<void> bridge_serve::watch(job_ptr what) {
  net::peer_frame frame;
  auto status = net::frame_status::ok;
  for (;;) {
    status = co_await net::read_frame(*what->opened.stream, frame);
    if (status != net::frame_status::ok)
      break;
    auto decoded = decode_payload(frame.type, frame.view());
    auto* message = std::get_if<peer_message>(&decoded);
    auto* told = message != nullptr ? std::get_if<cancel_message>(message) : nullptr;
    if (told == nullptr)
      break;
    cancel(*what, *told);
  }
  if (status == net::frame_status::end)
    co_return; // it will not cancel; what it asked is still served
  net::waiter wake;
  {
    std::lock_guard lock{mutex_};
    what->ended = true;
    wake = std::move(what->waiting);
  }
  wake.resume(true);
}

void bridge_serve::cancel(job& what, const cancel_message& told) {
  net::waiter wake;
  {
    std::lock_guard lock{mutex_};
    for (const auto& content : told.what)
      for (const auto& run : content.runs) {
        auto first = piece_of(content.cid, run.first);
        for (uint32_t i = 0; i < std::min<uint32_t>(run.count, serve_items_max); ++i)
          if (what.left != 0 && queue_.cancel(what.requester, what.id, content.cid, first.kind, first.first + i))
            --what.left;
      }
    if (what.left == 0)
      wake = std::move(what.waiting);
  }
  wake.resume(true);
}

/// With the mutex held: nothing of the job is queued or on its way any more.
void bridge_serve::leave(job& what) {
  for (const auto& item : std::exchange(what.ready, {}))
    queue_.sent(steady_ms(), item);
  queue_.cancel(what.requester, what.id);
  jobs_.erase({what.requester, what.id});
}

/// Hands out turns.
void bridge_serve::pump() {
  std::vector<net::waiter> wake;
  {
    std::lock_guard lock{mutex_};
    auto now = steady_ms();
    while (auto item = queue_.next(now)) {
      auto found = jobs_.find({item->requester, item->request});
      if (found == jobs_.end()) {
        queue_.sent(now, *item);
        continue;
      }
      found->second->ready.push_back(*item);
      if (found->second->waiting)
        wake.push_back(std::move(found->second->waiting));
    }
  }
  for (auto& one : wake)
    one.resume(true);
}

/// Time makes room as well (serve_stuck_ms): asked for while somebody waits.
net::asio::awaitable<void> bridge_serve::tick(net::loop& on) {
  net::asio::steady_timer timer{on.io()};
  for (;;) {
    timer.expires_after(serve_pump_interval);
    co_await timer.async_wait(net::nothrow);
    pump();
    std::lock_guard lock{mutex_};
    if (stopped_ || queue_.queued_items() == 0) {
      ticking_ = false;
      co_return;
    }
  }
}

void bridge_serve::stop() {
  std::vector<net::waiter> wake;
  {
    std::lock_guard lock{mutex_};
    stopped_ = true;
    for (auto& [key, what] : jobs_) {
      what->ended = true;
      if (what->waiting)
        wake.push_back(std::move(what->waiting));
    }
  }
  for (auto& one : wake)
    one.resume(true);
}

} // namespace harp
