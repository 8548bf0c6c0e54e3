// The storage plane over the months: numbers that were cut are renewed, damaged contents are brought back.
#include "actors/bridge_storage_inside.hpp"
#include "actors/bridge_pool.hpp"
#include "net/log.hpp"
#include "storage/peer_codec.hpp"

#include <boost/asio/steady_timer.hpp>
#include <caf/send.hpp>

namespace harp {

using net::log_level;

namespace {

constexpr std::chrono::seconds enrol_again_interval{5};
constexpr std::chrono::seconds care_interval{1};
constexpr size_t enrol_addresses_max = 64; // tried one after the other

} // namespace

/// What followed from a roster, on the store's thread: told to those who would have told it, had they asked for it.
void bridge_storage::inside::told(const space_id& id, const space_change& change) {
  auto now = handles();
  auto found = now.find(id);
  auto* space = disks->find(id);
  if (found == now.end() || space == nullptr)
    return;
  if (!change.made.empty())
    caf::anon_send(found->second.space, made_bundles{std::make_shared<const std::vector<bundle_ptr>>(change.made), space->state_root(), space->checkpoint()});
  if (!found->second.folder)
    return;
  if (!change.touched.empty())
    caf::anon_send(found->second.folder, changed_nodes{std::make_shared<const std::vector<local_id>>(change.touched)});
  if (change.look_anew)
    caf::anon_send(found->second.folder, scan_atom_v);
}

// -- enrolling again (storage.md 5.4) ----------------------------------------------------------------------------------------

void bridge_storage::inside::enrol_again() {
  if (enrolling.exchange(true))
    return;
  net::launch(seam.loops().at(0).executor(), ask_to_enrol(), "enrol again");
}

/// Until no space is left behind: the governor may be away for long.
net::asio::awaitable<void> bridge_storage::inside::ask_to_enrol() {
  net::asio::steady_timer timer{seam.loops().at(0).io()};
  for (bool first = true; !ending; first = false) {
    timer.expires_after(first ? std::chrono::seconds{0} : enrol_again_interval);
    auto [error] = co_await timer.async_wait(net::nothrow);
    if (error || ending)
      break;
    auto behind_job = [](node_store& all) {
      auto held = all.spaces();
      return std::pair{std::any_of(held.begin(), held.end(), [](const space_store* space) { return space->is_left_behind(); }), *all.conf()};
    };
    auto behind = co_await on_store(std::move(behind_job));
    if (!std::holds_alternative<call_failure>(behind) && !std::get<0>(behind).first)
      break;
    if (std::holds_alternative<call_failure>(behind) || !links)
      continue;
    auto conf = std::get<0>(behind).second;
    enrol_message asked; // without a secret: the device is known
    asked.device = plane->self;
    asked.name = conf.name;
    std::string words;
    enrol_ack_message ack;
    auto now = plane->now_ms();
    if (disks->governor() != nullptr) {
      auto own_job = [asked, now](node_store& all) { return all.enrol(asked, now, {}); };
      auto answer = co_await on_store(std::move(own_job));
      if (auto* given = std::get_if<enrol_ack_message>(&answer))
        ack = std::move(*given);
    } else {
      auto governor = conf.governor;
      std::function<bool(const device_key&)> is_governor = [governor](const device_key& shown) { return shown == governor; };
      auto payload = encode_payload(asked);
      auto addresses = conf.addresses;
      for (const auto& [member, known] : conf.members) // only the governor shows its key
        addresses.insert(addresses.end(), known.begin(), known.end());
      if (addresses.size() > enrol_addresses_max)
        addresses.resize(enrol_addresses_max);
      auto outcome = co_await links->endpoint()->enrol(seam.loops().here(), addresses, is_governor, payload);
      words = outcome.words;
      auto decoded = decode_payload(static_cast<uint8_t>(message_type::enrol), outcome.answer);
      auto* message = outcome.answer.empty() ? nullptr : std::get_if<peer_message>(&decoded);
      if (auto* given = message != nullptr ? std::get_if<enrol_ack_message>(message) : nullptr)
        ack = std::move(*given);
    }
    if (ack.status != enrol_status::done) {
      net::log(log_level::info, "HARP-J002", "join", "this device was away for too long and waits for a new number",
               {{"cause", ack.text.empty() ? words : ack.text}, {"next", "nothing: the governor's node is asked again; what was done here stays and follows then"}});
      continue;
    }
    auto taken_job = [ack, conf](node_store& all) { return all.governor() != nullptr ? std::optional<std::string>{} : all.take_enrolment(ack, conf.name, conf.listen); };
    auto taken = co_await on_store(std::move(taken_job));
    if (auto* failure = std::get_if<call_failure>(&taken))
      words = failure->error;
    else
      words = std::get<0>(taken).value_or(std::string{});
    net::log(words.empty() ? log_level::info : log_level::warn, "HARP-J003", "join", "this device was given new numbers after it had been away for long",
             {{"cause", words}, {"next", words.empty() ? "" : "nothing: it is asked again"}});
    rosters_changed();
  }
  enrolling = false;
}

// -- damaged contents (storage.md 6.3, quality.md C04) -----------------------------------------------------------------------

void bridge_storage::inside::start_care() {
  disks->care().set_scrub_interval(static_cast<uint32_t>(std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::seconds>(settings.storage_scrub_every).count())));
  disks->care().tell([this](const std::vector<damaged_content>& found) {
    std::lock_guard lock{mutex};
    damaged_stored = found;
    damaged_fresh = !found.empty();
  });
  net::launch(seam.loops().at(0).executor(), care(), "storage care");
}

net::asio::awaitable<void> bridge_storage::inside::care() {
  net::asio::steady_timer timer{seam.loops().at(0).io()};
  while (!ending) {
    timer.expires_after(care_interval);
    auto [error] = co_await timer.async_wait(net::nothrow);
    if (error || ending)
      co_return;
    co_await mend_content();
    co_await scrub_files();
  }
}

/// Out of a file of this device when one has the bytes, else from members.
net::asio::awaitable<void> bridge_storage::inside::mend_content() {
  std::vector<damaged_content> found;
  {
    std::lock_guard lock{mutex};
    if (!std::exchange(damaged_fresh, false))
      co_return;
    found = damaged_stored;
  }
  for (const auto& one : found) {
    auto content = content_of(one.space);
    if (!content)
      continue;
    if (damaged_told.insert({one.space, one.cid}).second) {
      ++scrub_errors;
      net::log(log_level::warn, "HARP-C010", "chunk", "stored bytes were damaged by the disk", {{"space", one.space.to_string()}, {"cause", "they have another hash than when they were written"}, {"next", "they are fetched again; look at the health of the disk"}});
      notice(one.space, notice_code::disk_trouble, one.lid, "a stored version of " + (one.path.empty() ? std::string{"a deleted file"} : one.path) + " was damaged by the disk; it is fetched again from members");
    }
    auto store = plane->store;
    auto cid = one.cid;
    auto mend_job = [content, store, cid] {
      auto put = [&store](const chunk_id& id, const std::string& bytes) {
        return wait_for_store(store, [id, bytes](node_store& all) {
          if (auto failure = all.packs().put(id, bytes))
            throw *failure;
        });
      };
      return keep_content(*content, cid, put) && wait_for_store(store, [](node_store& all) {
        if (auto failure = all.packs().sync())
          throw *failure;
        all.care().collect_now();
      });
    };
    auto mended = co_await in_pool(plane->pool, std::move(mend_job));
    if (mended.value_or(false))
      continue;
    auto now = handles();
    auto space = now.find(one.space);
    if (space == now.end() || !space->second.swarm || !content->expect(one.cid, one.size, {}, {}))
      continue;
    content_want want;
    want.cid = one.cid;
    want.size = one.size;
    want.author = one.vid.rid;
    want.edited_hlc = one.vid.hlc;
    auto wants = std::make_shared<std::vector<content_want>>();
    wants->push_back(want);
    std::shared_ptr<const std::vector<content_want>> wanted = wants;
    caf::anon_send(space->second.swarm, content_wish{wanted, nullptr});
    std::lock_guard lock{mutex};
    mending.insert({one.space, one.cid});
  }
}

/// A content came whole: when it was a damaged one, it is looked at again.
void bridge_storage::inside::content_came(const space_id& id, const content_id& cid) {
  {
    std::lock_guard lock{mutex};
    if (mending.erase({id, cid}) == 0)
      return;
  }
  if (auto content = content_of(id))
    content->forget(cid);
  caf::anon_send(plane->store, make_store_job([](node_store& all) { all.care().collect_now(); }));
}

json bridge_storage::inside::damaged_in(const space_id& id) const {
  json out = json::array();
  std::lock_guard lock{mutex};
  for (const auto& one : damaged_stored)
    if (one.space == id)
      out.push_back(one.path);
  for (const auto& [space, path] : damaged_files)
    if (space == id)
      out.push_back(path);
  return out;
}

} // namespace harp
