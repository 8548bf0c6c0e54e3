#include "actors/bridge_swarm.hpp"

#include "actors/ask.hpp"
#include "actors/bridge_pool.hpp"
#include "actors/bridge_serve.hpp"
#include "net/log.hpp"
#include "storage/digest.hpp"
#include "storage/node_store.hpp"
#include "storage/peer_codec.hpp"

#include <boost/asio/co_spawn.hpp>
#include <caf/send.hpp>

namespace harp {

namespace {

constexpr size_t part_bytes_reserved = cut_bytes_normal + cut_bytes_normal / 2; // nine of ten chunks are shorter

} // namespace

bridge_swarm::bridge_swarm(bridge& seam, std::shared_ptr<storage_plane> plane, bridge_links& links, content_finder contents)
  : seam_(seam), plane_(std::move(plane)), links_(links), contents_(std::move(contents)) {
  links_.on_fetch = [this](const device_key& from, const space_id& space, std::shared_ptr<const fetch_request> request, caf::actor answer_to) {
    fetch(from, space, std::move(request), std::move(answer_to));
  };
  links_.on_cancel = [this](const device_key& from, const space_id& space, const fetch_cancel& what) { cancel(from, space, what); };
  serving_ = std::make_unique<bridge_serve>(plane_, contents_);
  links_.take_streams(message_type::want, [this](opened_stream opened) { return serving_->serve(std::move(opened)); });
}

bridge_swarm::~bridge_swarm() = default;

void bridge_swarm::stop() {
  serving_->stop();
  std::lock_guard lock{mutex_};
  for (auto& [key, job] : asked_)
    job->answer_to = nullptr;
  asked_.clear();
}

// -- asking ------------------------------------------------------------------------------------------------------------------

void bridge_swarm::tell(const asked_ptr& job, fetch_report report) const {
  report.request = job->what->id;
  report.peer = job->what->peer;
  if (job->answer_to)
    caf::anon_send(job->answer_to, fetch_news{std::make_shared<const fetch_report>(std::move(report))});
}

void bridge_swarm::fetch(const device_key& from, const space_id& space, std::shared_ptr<const fetch_request> request, caf::actor answer_to) {
  auto job = std::make_shared<asked>();
  job->what = std::move(request);
  job->from = from;
  job->answer_to = std::move(answer_to);
  auto link = links_.link_of(from);
  if (!link) {
    fetch_report report;
    report.what = fetch_report::kind::failed;
    tell(job, report);
    return;
  }
  job->home = &link->home();
  {
    std::lock_guard lock{mutex_};
    asked_[{from, space, job->what->id}] = job;
  }
  net::launch(link->home().executor(), run_fetch(job, space, link), "fetch");
}

void bridge_swarm::cancel(const device_key& from, const space_id& space, const fetch_cancel& what) {
  asked_ptr job;
  {
    std::lock_guard lock{mutex_};
    auto found = asked_.find({from, space, what.id});
    if (found == asked_.end())
      return;
    job = found->second;
  }
  if (what.whole) {
    net::asio::post(job->home->executor(), [job] {
      job->cancelled = true;
      if (job->stream != nullptr)
        job->stream->cancel();
    });
    return;
  }
  cancel_message told;
  for (const auto& run : what.runs)
    told.what.push_back({run.cid, {{wire_number(run.kind, run.first), run.count}}});
  auto frame = net::encode_peer_frame(static_cast<uint8_t>(message_type::cancel), 0, encode_payload(told));
  net::asio::post(job->home->executor(), [job, frame = std::move(frame)] {
    // The Want is written and nothing else writes here. What is not taken whole would cut the frame: then the request ends.
    if (job->stream == nullptr || !job->asked)
      return;
    auto done = job->stream->try_write(frame);
    if (done.bytes != 0 && done.bytes != frame.size())
      job->stream->cancel();
  });
}

net::asio::awaitable<void> bridge_swarm::run_fetch(asked_ptr job, space_id space, net::node_link_ptr link) {
  fetch_report end;
  end.what = fetch_report::kind::failed;
  auto stream = link->open_data();
  auto content = contents_(space);
  if (stream && content && !job->cancelled) {
    job->stream = stream.get();
    want_message want;
    want.space = space;
    want.what = static_cast<want_class>(static_cast<int>(job->what->cls) + 1);
    want.deadline_ms = job->what->deadline_ms;
    for (const auto& run : job->what->runs)
      want.entries.push_back({run.cid, {wire_number(run.kind, run.first), run.count}});
    auto payload = encode_payload(want);
    bool sent = co_await net::write_frame(*stream, static_cast<uint8_t>(message_type::want), 0, payload);
    if (sent) {
      job->asked = true;
      net::peer_frame frame;
      std::map<std::pair<content_id, uint32_t>, std::shared_ptr<std::string>> parts;
      for (;;) {
        auto status = co_await net::read_frame(*stream, frame);
        if (status != net::frame_status::ok || job->cancelled) {
          if (status == net::frame_status::end)
            end.what = fetch_report::kind::ended;
          break;
        }
        bool goes_on = co_await take_frame(job, content, frame, parts);
        if (!goes_on)
          break;
      }
    }
    job->stream = nullptr;
    stream->close(end.what != fetch_report::kind::ended);
  }
  {
    std::lock_guard lock{mutex_};
    asked_.erase({job->from, space, job->what->id});
  }
  if (!job->cancelled)
    tell(job, end);
}

/// False: the peer does not keep to the protocol.
net::asio::awaitable<bool> bridge_swarm::take_frame(asked_ptr job, std::shared_ptr<space_content> content, net::peer_frame& frame,
                                                    std::map<std::pair<content_id, uint32_t>, std::shared_ptr<std::string>>& parts) {
  auto decoded = decode_payload(frame.type, frame.view());
  auto* message = std::get_if<peer_message>(&decoded);
  if (message == nullptr)
    co_return false;
  fetch_report report;
  if (auto* missing = std::get_if<missing_message>(message)) {
    for (const auto& run : missing->what.runs) {
      report.what = fetch_report::kind::missing;
      report.run = piece_of(missing->what.cid, run.first);
      report.run.count = run.count;
      report.denied = missing->reason == missing_reason::denied;
      tell(job, report);
    }
    co_return true;
  }
  if (auto* busy = std::get_if<busy_message>(message)) {
    report.what = fetch_report::kind::busy;
    report.retry_ms = busy->retry_ms;
    tell(job, report);
    co_return true;
  }
  auto* data = std::get_if<data_message>(message);
  if (data == nullptr)
    co_return false;
  auto key = std::pair{data->cid, data->chunk};
  auto& part = parts[key];
  if (!part)
    part = std::make_shared<std::string>();
  if (data->offset != part->size() || part->size() + data->bytes.size() > cut_bytes_max || parts.size() > request_runs_max)
    co_return false;
  if (part->empty() && !data->last)
    part->reserve(part_bytes_reserved); // growing by doubling would copy most of it again
  part->append(data->bytes);
  if (!data->last) {
    report.what = fetch_report::kind::data;
    report.run = piece_of(data->cid, data->chunk);
    report.bytes = data->bytes.size();
    tell(job, report);
    co_return true;
  }
  auto whole = part;
  parts.erase(key);
  co_await take_piece(job, content, key.first, key.second, whole);
  co_return true;
}

/// Verifies a complete piece in the pool, keeps it, and tells.
net::asio::awaitable<void> bridge_swarm::take_piece(asked_ptr job, std::shared_ptr<space_content> content, content_id cid, uint32_t number,
                                                    std::shared_ptr<std::string> bytes) {
  auto report = std::make_shared<fetch_report>();
  report->run = piece_of(cid, number);
  report->bytes = bytes->size();
  auto stored_as = std::make_shared<chunk_id>();
  auto claim = std::make_shared<std::optional<partial_claim>>();
  auto done_job = [content, report, bytes, stored_as, claim] {
    using kind = fetch_report::kind;
    report->what = kind::bad;
    if (report->run.kind == piece_kind::root) {
      auto parsed = content_id_of(*bytes) == report->run.cid ? parse_root(*bytes) : std::variant<content_root, std::string>{std::string{"a root record with another hash"}};
      if (auto* root = std::get_if<content_root>(&parsed)) {
        report->what = kind::root;
        report->shape = shape_of(*root);
        report->chunk_count = root->chunks;
        stored_as->bytes = report->run.cid.bytes;
      } else {
        report->words = std::get<std::string>(parsed);
      }
      return true;
    }
    auto manifest = content->manifest(report->run.cid);
    auto* all = std::get_if<manifest_reader>(&manifest);
    if (all == nullptr) {
      report->what = kind::unkept;
      report->words = std::get<std::string>(manifest);
      return true;
    }
    if (report->run.kind == piece_kind::segment) {
      auto parsed = parse_segment(*bytes, all->root(), report->run.first);
      if (auto* list = std::get_if<std::vector<chunk_ref>>(&parsed)) {
        report->what = kind::segment;
        report->chunks = std::move(*list);
        *stored_as = all->root().segments[report->run.first].id;
      } else {
        report->words = std::get<std::string>(parsed);
      }
      return true;
    }
    auto chunk = all->chunk(report->run.first);
    auto* placed = std::get_if<placed_chunk>(&chunk);
    if (placed == nullptr || placed->ref.bytes != bytes->size() || chunk_id_of(*bytes) != placed->ref.id) {
      report->words = placed == nullptr ? std::get<std::string>(chunk) : "a chunk with another hash";
      return true;
    }
    if (auto under_way = content->expected(report->run.cid); under_way && under_way->temp.empty()) {
      *stored_as = placed->ref.id; // for a reader without a folder: the packs take it
      report->what = kind::chunk;
      return true;
    }
    report->words = content->write(report->run.cid, *placed, *bytes, all->root().chunks == 1);
    report->what = report->words.empty() ? kind::chunk : kind::unkept;
    *claim = content->claim_due(report->run.cid);
    return true;
  };
  auto done = co_await in_pool(plane_->pool, std::move(done_job));
  if (!done)
    co_return; // the node stops
  if (report->what != fetch_report::kind::bad && report->what != fetch_report::kind::unkept && !stored_as->is_zero())
    co_await keep_piece(report, *stored_as, bytes);
  tell(job, *report);
  if (*claim) // nobody waits for it: a record that does not come about costs a refetch after a crash
    caf::anon_send(plane_->store, make_store_job([content, claim](node_store&) { content->record(**claim); }));
}

/// Root records and segments, and chunks that no file takes. A chunk that a crash loses is fetched again: no sync for it.
net::asio::awaitable<void> bridge_swarm::keep_piece(std::shared_ptr<fetch_report> report, chunk_id id, std::shared_ptr<std::string> bytes) {
  bool is_chunk = report->what == fetch_report::kind::chunk;
  auto store = make_store_job([id, bytes, is_chunk](node_store& all) {
    if (auto failure = all.packs().put(id, *bytes))
      throw *failure;
    if (is_chunk)
      return;
    if (auto failure = all.packs().sync())
      throw *failure;
  });
  auto kept = co_await ask<bool>(seam_.system(), plane_->store, store_limit, store);
  if (!kept) {
    report->what = fetch_report::kind::unkept;
    report->words = "the packs did not take it";
  }
}

} // namespace harp
