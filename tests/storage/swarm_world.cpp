#include "tests/storage/swarm_world.hpp"

#include <algorithm>
#include <cmath>

namespace harp::test {

namespace {

constexpr double progress_ms = 250;
constexpr uint32_t segment_chunks
    = 1024; // smaller than the real ones, so that small worlds have several

} // namespace

uint32_t world_content::segment_first(uint32_t index) const {
  uint32_t first = 0;
  for (uint32_t i = 0; i < index; ++i)
    first += shape.segments[i].chunks;
  return first;
}

world_content make_content(std::mt19937_64& random, uint64_t size, uint32_t mean) {
  world_content out;
  for (auto& byte : out.cid.bytes)
    byte = static_cast<uint8_t>(random());
  out.size = size;
  for (uint64_t left = size; left != 0;) {
    chunk_ref chunk;
    for (auto& byte : chunk.id.bytes)
      byte = static_cast<uint8_t>(random());
    chunk.bytes = static_cast<uint32_t>(std::min<uint64_t>(left, mean / 2 + random() % mean));
    left -= chunk.bytes;
    out.chunks.push_back(chunk);
  }
  if (out.chunks.size() <= 8) {
    out.shape.chunks = out.chunks;
    return out;
  }
  for (size_t i = 0; i < out.chunks.size(); i += segment_chunks) {
    segment_ref segment;
    for (size_t k = i; k < std::min(out.chunks.size(), i + segment_chunks); ++k) {
      ++segment.chunks;
      segment.bytes += out.chunks[k].bytes;
    }
    out.shape.segments.push_back(segment);
  }
  return out;
}

void swarm_world::mix(uint64_t value) {
  trace_ = (trace_ ^ value) * 1099511628211ull;
}

replica_id swarm_world::add_node(double up, double down, habit does, bool keeper) {
  const auto rid = static_cast<replica_id>(nodes_.size() + 1);
  auto& made = nodes_[rid];
  made.rid = rid;
  made.up = up;
  made.down = down;
  made.does = does;
  made.keeper = keeper;
  made.picks = std::make_unique<picker>(picker_settings{rid, keeper});
  return rid;
}

void swarm_world::seed(replica_id rid, const content_id& cid) {
  chunk_set all(static_cast<uint32_t>(contents_.at(cid).chunks.size()));
  all.add_all();
  node(rid).has[cid] = all;
}

void swarm_world::want(replica_id rid, const content_id& cid, replica_id author, transfer_class cls,
                       bool inline_root) {
  const auto& content = contents_.at(cid);
  auto& who = node(rid);
  who.wants.insert(cid);
  who.done_ms = -1;
  who.has.emplace(cid, chunk_set(static_cast<uint32_t>(content.chunks.size())));
  content_want wanted;
  wanted.cid = cid;
  wanted.size = content.size;
  wanted.cls = cls;
  wanted.author = author;
  if (inline_root)
    wanted.shape = content.shape;
  who.picks->want(ms(), wanted);
  step(rid);
}

void swarm_world::connect(replica_id a, replica_id b) {
  links_.insert({a, b});
  links_.insert({b, a});
  for (auto [one, other] : {std::pair{a, b}, std::pair{b, a}}) {
    node(one).picks->peer_up(ms(), other, reach(one, other),
                             static_cast<uint32_t>(std::ceil(rtt_ms(one, other))),
                             node(other).keeper);
    introduce(node(other), one);
  }
  step(a);
  step(b);
}

void swarm_world::introduce(world_node& who, replica_id to) {
  for (const auto& [cid, set] : who.has) {
    const bool lies
        = who.does == habit::says_has_answers_missing || who.does == habit::says_has_is_silent;
    if (set.none() && !lies)
      continue;
    const auto from = who.rid;
    const auto id = cid;
    const bool complete = set.all() || lies;
    const auto runs = set.runs();
    tell(to, rtt_ms(from, to) / 2, [this, from, id, complete, runs](world_node& hearer) {
      hearer.picks->have(ms(), from, id, complete, complete ? std::vector<chunk_run>{} : runs);
    });
  }
}

void swarm_world::connect_all() {
  for (auto& [a, one] : nodes_)
    for (auto& [b, other] : nodes_)
      if (a < b && one.alive && other.alive)
        connect(a, b);
}

void swarm_world::leave(replica_id rid) {
  node(rid).alive = false;
  std::erase_if(links_, [rid](auto& link) { return link.first == rid || link.second == rid; });
  std::erase_if(
      flows_, [rid](auto& entry) { return entry.first.first == rid || entry.first.second == rid; });
  std::erase_if(asked_now_, [rid](auto& key) { return std::get<1>(key) == rid; });
  rates_stale_ = true;
  for (auto& [other, who] : nodes_) {
    if (!who.alive)
      continue;
    who.serves.requester_gone(rid);
    who.picks->peer_down(ms(), rid);
    step(other);
    pump(who);
  }
}

void swarm_world::at(double when, std::function<void()> what) {
  events_.push({when, ++order_, std::move(what)});
}

void swarm_world::tell(replica_id to, double delay, std::function<void(world_node&)> what) {
  at(now_ + delay, [this, to, what = std::move(what)] {
    if (!node(to).alive)
      return;
    what(node(to));
    step(to);
  });
}

/// Carries out what a picker decided.
void swarm_world::step(replica_id rid) {
  auto& who = node(rid);
  if (!who.alive)
    return;
  for (auto effects = who.picks->effects(ms()); !effects.empty();
       effects = who.picks->effects(ms()))
    for (const auto& effect : effects) {
      if (watch)
        watch(rid, effect);
      apply(who, effect);
    }
  if (auto next = who.picks->next_ms()) {
    const double due = std::max(static_cast<double>(*next), std::floor(now_) + 1);
    if (who.wakes.insert(due).second)
      at(due, [this, rid, due] {
        node(rid).wakes.erase(due);
        step(rid);
      });
  }
}

void swarm_world::apply(world_node& who, const fetch_effect& effect) {
  const auto rid = who.rid;
  mix(effect.index() * 1000 + rid);
  mix(ms());
  if (const auto* request = std::get_if<fetch_request>(&effect)) {
    mix(request->peer);
    for (const auto& run : request->runs)
      for (uint32_t i = 0; i < run.count; ++i) {
        mix(run.first + i);
        if (!asked_now_.insert({rid, request->peer, run.cid, int(run.kind), run.first + i}).second)
          ++twice_asked_;
      }
    if (links_.contains({rid, request->peer}))
      tell(request->peer, rtt_ms(rid, request->peer) / 2,
           [this, rid, copy = *request](world_node& server) { asked(server, rid, copy); });
  } else if (const auto* cancel = std::get_if<fetch_cancel>(&effect)) {
    for (const auto& run : cancel->runs)
      for (uint32_t i = 0; i < run.count; ++i)
        asked_now_.erase({rid, cancel->peer, run.cid, int(run.kind), run.first + i});
    if (cancel->whole)
      std::erase_if(asked_now_, [&](auto& key) {
        return std::get<0>(key) == rid && std::get<1>(key) == cancel->peer;
      });
    if (links_.contains({rid, cancel->peer}))
      tell(cancel->peer, rtt_ms(rid, cancel->peer) / 2,
           [this, rid, copy = *cancel](world_node& server) { cancelled(server, rid, copy); });
  } else if (const auto* root = std::get_if<need_root>(&effect)) {
    who.picks->root_absent(ms(), root->cid);
  } else if (const auto* segment = std::get_if<need_segment>(&effect)) {
    who.picks->segment_absent(ms(), segment->cid, segment->index);
  } else if (const auto* reuse = std::get_if<fetch_reuse>(&effect)) {
    who.has[reuse->cid].add(reuse->to);
  } else if (const auto* said = std::get_if<fetch_announce>(&effect)) {
    for (auto& [other, hearer] : nodes_)
      if (links_.contains({rid, other}))
        tell(other, rtt_ms(rid, other) / 2, [this, rid, deltas = said->deltas](world_node& one) {
          for (const auto& delta : deltas)
            if (delta.complete)
              one.picks->have(ms(), rid, delta.cid, true, {});
            else
              one.picks->have_more(ms(), rid, delta.cid, delta.runs);
        });
  } else if (const auto* done = std::get_if<fetch_finished>(&effect)) {
    who.wants.erase(done->cid);
    if (who.wants.empty())
      who.done_ms = now_;
  } else if (const auto* ban = std::get_if<fetch_banned>(&effect)) {
    who.banned.insert(ban->peer);
  }
}

// -- serving ----------------------------------------------------------------------------------------

void swarm_world::asked(world_node& server, replica_id from, const fetch_request& request) {
  if (server.does == habit::says_has_is_silent)
    return;
  std::vector<serve_item> items;
  const auto self = server.rid;
  for (const auto& run : request.runs)
    for (uint32_t no = run.first; no < run.first + run.count; ++no) {
      const auto& content = contents_.at(run.cid);
      const auto& has = server.has[run.cid];
      serve_item item{request.id, from, request.cls, run.cid, run.kind, no, 0};
      const bool lacks = run.kind == piece_kind::chunk ? !has.has(no) : has.none();
      if (lacks) {
        const piece_run lost{run.cid, run.kind, no, 1};
        asked_now_.erase({from, self, run.cid, int(run.kind), no});
        tell(from, rtt_ms(self, from) / 2,
             [this, self, lost](world_node& who) { who.picks->missing(ms(), self, lost, false); });
        continue;
      }
      item.bytes = run.kind == piece_kind::chunk     ? content.chunks[no].bytes
                   : run.kind == piece_kind::segment ? content.shape.segments[no].chunks * 36
                                                     : 600;
      items.push_back(item);
    }
  const auto id = request.id;
  if (auto retry = server.serves.add(ms(), items)) {
    for (const auto& item : items)
      asked_now_.erase({from, self, item.cid, int(item.kind), item.no});
    tell(from, rtt_ms(self, from) / 2, [this, self, id, ms_later = *retry](world_node& who) {
      who.picks->busy(ms(), self, id, ms_later);
    });
  }
  pump(server);
}

void swarm_world::cancelled(world_node& server, replica_id from, const fetch_cancel& cancel) {
  if (cancel.whole)
    server.serves.cancel(from, cancel.id);
  for (const auto& run : cancel.runs)
    for (uint32_t i = 0; i < run.count; ++i)
      server.serves.cancel(from, cancel.id, run.cid, run.kind, run.first + i);
  auto found = flows_.find({server.rid, from});
  if (found != flows_.end())
    for (size_t i = 0; i < found->second.items.size();) { // a started chunk is cut short
      const auto item = found->second.items[i];
      const bool hit
          = item.request == cancel.id
            && (cancel.whole || std::any_of(cancel.runs.begin(), cancel.runs.end(), [&](auto& run) {
                  return run.cid == item.cid && run.kind == item.kind && item.no >= run.first
                         && item.no < run.first + run.count;
                }));
      if (!hit) {
        ++i;
        continue;
      }
      if (i == 0 && item.kind == piece_kind::chunk && server.does != habit::endless) {
        const double came
            = static_cast<double>(item.bytes) - found->second.left - found->second.told;
        const auto self = server.rid;
        const auto in_vain = static_cast<uint64_t>(std::max(0.0, came));
        tell(from, rtt_ms(self, from) / 2, [this, self, item, in_vain](world_node& who) {
          who.picks->data_arrived(ms(), self, item.cid, item.no, in_vain);
        });
      }
      server.serves.sent(ms(), item);
      found->second.items.erase(found->second.items.begin() + static_cast<std::ptrdiff_t>(i));
      if (i == 0) {
        found->second.left
            = found->second.items.empty() ? 0 : static_cast<double>(found->second.items[0].bytes);
        found->second.told = 0;
      }
      rates_stale_ = true;
    }
  pump(server);
}

void swarm_world::pump(world_node& server) {
  while (auto item = server.serves.next(ms())) {
    auto& to = flows_[{server.rid, item->requester}];
    to.items.push_back(*item);
    if (to.items.size() == 1) {
      to.left = server.does == habit::endless ? 1e18 : static_cast<double>(item->bytes);
      to.told = 0;
    }
    rates_stale_ = true;
  }
}

/// The last byte of an item has left; it arrives half a round trip later.
void swarm_world::deliver(const serve_item& item, replica_id from) {
  tell(item.requester, rtt_ms(from, item.requester) / 2, [this, item, from](world_node& who) {
    asked_now_.erase({who.rid, from, item.cid, int(item.kind), item.no});
    const auto& content = contents_.at(item.cid);
    if (node(from).does == habit::wrong_bytes && item.kind == piece_kind::chunk) {
      who.picks->chunk_bad(ms(), from, item.cid, item.no);
    } else if (item.kind == piece_kind::root) {
      who.picks->root_arrived(ms(), from, item.cid, content.shape);
    } else if (item.kind == piece_kind::segment) {
      const std::span all(content.chunks);
      who.picks->segment_arrived(
          ms(), from, item.cid, item.no,
          all.subspan(content.segment_first(item.no), content.shape.segments[item.no].chunks));
    } else if (who.picks->chunk_arrived(ms(), from, item.cid, item.no, item.bytes)) {
      who.has[item.cid].add(item.no);
    }
  });
}

// -- fluid --------------------------------------------------------------------------------------------

void swarm_world::set_rates() {
  rates_stale_ = false;
  struct link {
    double left = 0;
    int open = 0;
  };
  std::map<std::pair<replica_id, bool>, link> links; // (node, is uplink)
  std::vector<std::pair<pair_of, flow*>> open;
  for (auto& [ends, one] : flows_) {
    one.rate = 0;
    if (one.items.empty())
      continue;
    open.push_back({ends, &one});
    links[{ends.first, true}].open++;
    links[{ends.second, false}].open++;
  }
  for (auto& [key, one] : links)
    one.left = key.second ? node(key.first).up : node(key.first).down;
  while (!open.empty()) { // progressive filling: the tightest link decides its flows
    auto tightest = links.end();
    for (auto it = links.begin(); it != links.end(); ++it)
      if (it->second.open != 0
          && (tightest == links.end()
              || it->second.left / it->second.open < tightest->second.left / tightest->second.open))
        tightest = it;
    const double share = std::max(tightest->second.left / tightest->second.open, 0.001);
    const auto key = tightest->first;
    std::erase_if(open, [&](auto& entry) {
      const auto& ends = entry.first;
      if ((key.second ? ends.first : ends.second) != key.first)
        return false;
      entry.second->rate = share;
      for (auto& other : {std::pair{ends.first, true}, std::pair{ends.second, false}}) {
        links[other].left -= share;
        links[other].open--;
      }
      return true;
    });
  }
}

/// Reports what came of unfinished chunks, as a connection would.
void swarm_world::progress() {
  for (auto& [ends, one] : flows_) {
    if (one.items.empty() || one.items[0].kind != piece_kind::chunk)
      continue;
    const auto [from, to] = ends;
    const auto item = one.items[0];
    const bool endless = node(from).does == habit::endless;
    const double whole = endless ? 1e18 : static_cast<double>(item.bytes);
    const double came = whole - one.left;
    const auto more = static_cast<uint64_t>(came - one.told);
    if (more == 0 || (!endless && one.left < 1))
      continue;
    one.told += static_cast<double>(more);
    tell(to, rtt_ms(from, to) / 2, [this, item, from = from, more](world_node& who) {
      who.picks->data_arrived(ms(), from, item.cid, item.no, more);
    });
  }
}

void swarm_world::advance(double to) {
  for (auto& [ends, one] : flows_)
    if (!one.items.empty()) {
      one.left -= one.rate * (to - now_) / 1000.0;
      node(ends.second).received_bytes
          += static_cast<uint64_t>(std::llround(one.rate * (to - now_) / 1000.0));
    }
  now_ = to;
}

bool swarm_world::all_done() const {
  return std::all_of(nodes_.begin(), nodes_.end(), [](const auto& entry) {
    return !entry.second.alive || entry.second.wants.empty();
  });
}

double swarm_world::run(double limit_ms) {
  while (!all_done() && now_ < limit_ms) {
    if (rates_stale_)
      set_rates();
    double to = limit_ms;
    if (!events_.empty())
      to = std::min(to, events_.top().at);
    to = std::min(to, progress_at_);
    for (const auto& [ends, one] : flows_)
      if (!one.items.empty() && one.rate > 0)
        to = std::min(to, now_ + std::max(0.0, one.left) * 1000.0 / one.rate);
    advance(std::max(to, now_));
    std::set<replica_id> servers;
    for (auto& [ends, one] : flows_)
      if (!one.items.empty() && one.left <= 0.5) {
        const auto item = one.items.front();
        one.items.erase(one.items.begin());
        one.told = 0;
        one.left = one.items.empty() ? 0 : static_cast<double>(one.items[0].bytes);
        node(ends.first).serves.sent(ms(), item);
        deliver(item, ends.first);
        servers.insert(ends.first);
        rates_stale_ = true;
      }
    for (auto rid : servers)
      pump(node(rid));
    if (now_ >= progress_at_) {
      progress();
      progress_at_ = now_ + progress_ms;
      for (auto& [rid, who] : nodes_)
        if (who.alive)
          pump(who); // somebody stuck may have made room
    }
    while (!events_.empty() && events_.top().at <= now_) {
      auto what = events_.top().what;
      events_.pop();
      what();
    }
  }
  return now_;
}

} // namespace harp::test
