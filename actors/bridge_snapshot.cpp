#include "actors/bridge_snapshot.hpp"

#include "actors/ask.hpp"
#include "actors/bridge_pool.hpp"
#include "storage/node_store.hpp"
#include "storage/peer_codec.hpp"

#include <boost/asio/co_spawn.hpp>
#include <caf/send.hpp>

#include <filesystem>
#include <fstream>

namespace harp {

namespace {

constexpr auto snapshot_type = static_cast<uint8_t>(message_type::snapshot);

/// One piece of the snapshot of a space, on the store's thread.
struct next_piece {
  std::string checkpoint; // raw; of the first
  std::variant<snapshot_piece, std::string> piece;
};

next_piece piece_of(node_store& all, const space_id& id, const std::string& cursor) {
  next_piece out;
  auto* space = all.find(id);
  if (space == nullptr) {
    out.piece = "the space is not held here";
    return out;
  }
  if (cursor.empty())
    if (auto head = space->find_bundle(space->checkpoint()))
      out.checkpoint = head->raw;
  out.piece = cursor.empty() && out.checkpoint.empty() ? std::variant<snapshot_piece, std::string>{"there is no checkpoint here yet"} : space->export_piece(cursor);
  return out;
}

/// Counts down when a stream ends, however it does.
struct one_served {
  std::atomic<size_t>& count;
  ~one_served() { --count; }
};

} // namespace

bridge_snapshot::bridge_snapshot(bridge& seam, std::shared_ptr<storage_plane> plane, bridge_links& links, const space_id& cluster, std::string dir)
  : seam_(seam), plane_(std::move(plane)), links_(links), cluster_(cluster), dir_(std::move(dir)) {
  links_.take_streams(message_type::snapshot, [this](opened_stream opened) { return serve(std::move(opened)); });
}

// -- giving ------------------------------------------------------------------------------------------------------------------

net::asio::awaitable<void> bridge_snapshot::serve(opened_stream opened) {
  ++serving_;
  one_served counted{serving_};
  auto decoded = decode_payload(snapshot_type, opened.payload);
  auto* message = std::get_if<peer_message>(&decoded);
  auto* asked = message != nullptr ? std::get_if<snapshot_request_message>(message) : nullptr;
  peer judge{opened.link->peer(), plane_->self, cluster_, plane_->rosters};
  if (asked == nullptr || serving_ > snapshots_served_max || judge.role_in(asked->space) == member_role::none || !plane_->serves(asked->space, opened.link->peer())) {
    opened.stream->close(true);
    co_return;
  }
  auto id = asked->space;
  std::string cursor;
  for (uint32_t number = 0;; ++number) {
    auto box = std::make_shared<next_piece>();
    auto job = make_store_job([box, id, cursor](node_store& all) { *box = piece_of(all, id, cursor); });
    auto done = co_await ask<bool>(seam_.system(), plane_->store, store_limit, job);
    auto* piece = done ? std::get_if<snapshot_piece>(&box->piece) : nullptr;
    if (piece == nullptr) {
      opened.stream->close(true);
      co_return;
    }
    snapshot_part_message part;
    part.space = id;
    part.bucket = static_cast<uint16_t>(std::min<uint32_t>(number, UINT16_MAX));
    part.last_of_bucket = true;
    part.last = piece->next.empty();
    part.checkpoint = box->checkpoint;
    part.rows = std::move(piece->bytes);
    cursor = piece->next;
    auto payload = encode_payload(part);
    bool sent = co_await net::write_frame(*opened.stream, snapshot_type, 0, payload);
    if (!sent)
      co_return;
    if (part.last)
      break;
  }
  opened.stream->shutdown_write();
  char end = 0;
  co_await net::read_some(*opened.stream, {&end, 1}); // until the peer has read it
}

// -- fetching ----------------------------------------------------------------------------------------------------------------

void bridge_snapshot::fetch(const space_id& space, const device_key& from, space_actor to) {
  auto link = links_.link_of(from);
  if (!link)
    return;
  {
    std::lock_guard lock{mutex_};
    if (!fetching_.insert(space).second)
      return;
  }
  net::launch(link->home().executor(), run(space, link, std::move(to)), "snapshot");
}

net::asio::awaitable<void> bridge_snapshot::run(space_id space, net::node_link_ptr link, space_actor to) {
  auto here = std::make_shared<snapshot_here>();
  here->from = link->peer();
  here->file = dir_ + "/snapshot-" + space.to_string() + ".part";
  here->words = co_await receive(space, link, here);
  if (!here->words.empty()) {
    std::error_code ignored;
    std::filesystem::remove(here->file, ignored);
    here->file.clear();
  }
  {
    std::lock_guard lock{mutex_};
    fetching_.erase(space);
  }
  caf::anon_send(to, *here);
}

/// Empty when all of it came.
net::asio::awaitable<std::string> bridge_snapshot::receive(space_id space, net::node_link_ptr link, std::shared_ptr<snapshot_here> into) {
  auto stream = link->open_data();
  if (!stream)
    co_return "the link has ended";
  auto request = encode_payload(snapshot_request_message{space, 0});
  bool sent = co_await net::write_frame(*stream, snapshot_type, 0, request);
  if (!sent)
    co_return "the link ended";
  auto out = std::make_shared<std::ofstream>(into->file, std::ios::binary | std::ios::trunc);
  auto* raw = stream.get();
  net::deadline limit{link->home(), [raw] { raw->cancel(); }};
  net::peer_frame frame;
  uint64_t bytes = 0;
  for (;;) {
    limit.in(snapshot_silence_limit);
    auto status = co_await net::read_frame(*stream, frame);
    limit.off();
    if (status != net::frame_status::ok || frame.type != snapshot_type)
      co_return "the member ended it early: it has no checkpoint, or a newer one by now";
    auto decoded = decode_payload(snapshot_type, frame.view());
    auto* message = std::get_if<peer_message>(&decoded);
    auto* part = message != nullptr ? std::get_if<snapshot_part_message>(message) : nullptr;
    bytes += frame.payload.size();
    if (part == nullptr || part->space != space || bytes > snapshot_bytes_max)
      co_return "what came is no snapshot of this space";
    if (!part->checkpoint.empty())
      into->checkpoint = part->checkpoint;
    auto rows = std::make_shared<std::string>(std::move(part->rows));
    bool last = part->last;
    auto keep = [out, rows, last] {
      auto size = static_cast<uint32_t>(rows->size());
      out->write(reinterpret_cast<const char*>(&size), sizeof size);
      out->write(rows->data(), static_cast<std::streamsize>(rows->size()));
      if (last)
        out->flush();
      return out->good();
    };
    auto kept = co_await in_pool(plane_->pool, std::move(keep));
    if (!kept.value_or(false))
      co_return "it cannot be written: " + into->file;
    if (last)
      co_return std::string{};
  }
}

} // namespace harp
