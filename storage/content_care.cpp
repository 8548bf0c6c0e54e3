#include "storage/content_care.hpp"

#include "storage/content_root.hpp"
#include "storage/retention.hpp"
#include "storage/space_tree.hpp"

#include <charconv>

namespace harp {

namespace {

constexpr std::string_view collected_note = "collected";

chunk_id as_chunk(const content_id& cid) {
  chunk_id out;
  out.bytes = cid.bytes;
  return out;
}

bool is_damaged(const pack_store& packs, const chunk_id& id) {
  auto row = packs.index().pack_of(id);
  return row && (row->flags & pack_row_damaged) != 0;
}

} // namespace

content_care::content_care(pack_store& packs, uint32_t scrub_every_s) : packs_(packs), scrub_every_s_(scrub_every_s) {
  auto text = packs_.index().note(collected_note);
  std::from_chars(text.data(), text.data() + text.size(), collected_s_);
}

std::variant<bool, storage_failure> content_care::step(uint32_t now_s) {
  bool more = false;
  if (auto failure = scrub_step(now_s, more))
    return *failure;
  if (phase_ == phase::idle) {
    if (!spaces_ || (collected_s_ != 0 && now_s < collected_s_ + collect_interval_s))
      return more;
    begin(now_s);
    return true;
  }
  if (phase_ == phase::marking) {
    if (mark_step(now_s))
      return true;
    marks_->close();
    sweep_ = std::make_unique<pack_sweep>(packs_, *marks_, now_s);
    phase_ = phase::sweeping;
    return true;
  }
  if (!catch_up(now_s)) {
    begin(now_s); // too much changed meanwhile: what was marked says too little
    return true;
  }
  auto done = sweep_->step();
  if (auto* failure = std::get_if<storage_failure>(&done)) {
    phase_ = phase::idle;
    return *failure;
  }
  if (!std::get<bool>(done))
    return true;
  report_ = sweep_->report();
  damaged_ += report_.damaged.size();
  sweep_.reset();
  marks_.reset();
  marked_.clear();
  phase_ = phase::idle;
  if (auto failure = packs_.index().put_note(collected_note, std::to_string(collected_s_)))
    return *failure;
  if (told_)
    told_(found_);
  return more;
}

// -- marking -----------------------------------------------------------------------------------------------------------------

void content_care::begin(uint32_t now_s) {
  collected_s_ = now_s;
  sweep_.reset();
  marks_ = std::make_unique<gc_marks>();
  marked_ = spaces_();
  found_.clear();
  changes_.clear();
  for (const auto& space : marked_)
    changes_.push_back(space.rows->changes());
  space_ = 0;
  next_ = 0;
  phase_ = phase::marking;
}

/// True while there is more to mark.
bool content_care::mark_step(uint32_t now_s) {
  if (space_ >= marked_.size())
    return false;
  const auto& space = marked_[space_];
  size_t left = mark_nodes_per_step;
  bool done = true;
  space.rows->read([&](const read_txn&, space_rows& rows) {
    auto policy = retention_of(rows);
    if (next_ == 0)
      for (const auto& cid : space.pinned)
        mark_content(rows, cid);
    std::vector<std::pair<local_id, node_row>> nodes;
    rows.each_node(next_, [&](local_id lid, const node_row& row) {
      if (left-- == 0) {
        next_ = lid;
        done = false;
        return false;
      }
      if (!row.is_dir())
        nodes.emplace_back(lid, row);
      return true;
    });
    for (const auto& [lid, row] : nodes)
      mark_node(space, rows, lid, row, policy, now_s);
  });
  if (done) {
    ++space_;
    next_ = 0;
  }
  return true;
}

void content_care::mark_node(const cared_space& space, space_rows& rows, local_id lid, const node_row& row, const retention_policy& policy, uint32_t now_s) {
  auto versions = rows.versions(lid);
  auto kept = kept_here(versions, row.head, uint64_t{now_s} * 1000, policy, space.keeper);
  for (size_t i = 0; i < versions.size(); ++i) {
    if (!kept[i] || !mark_content(rows, versions[i].cid) || found_.size() >= damage_told_max)
      continue;
    auto path = space_tree{rows}.path_of(lid);
    found_.push_back({space.rows->id(), lid, path.value_or(std::string{}), versions[i].at, versions[i].cid, versions[i].size});
  }
}

/// Root record, segments and chunks. True when one of them is damaged in the packs.
bool content_care::mark_content(space_rows& rows, const content_id& cid) {
  marks_->add(as_chunk(cid));
  bool damaged = is_damaged(packs_, as_chunk(cid));
  auto record = rows.root_record(cid);
  auto kept = record.empty() ? packs_.get(as_chunk(cid)) : std::variant<std::string, storage_failure>{record};
  auto* bytes = std::get_if<std::string>(&kept);
  auto parsed = bytes != nullptr ? parse_root(*bytes) : std::variant<content_root, std::string>{std::string{}};
  auto* root = std::get_if<content_root>(&parsed);
  if (root == nullptr)
    return damaged;
  auto add = [&](const chunk_id& id) {
    marks_->add(id);
    damaged = damaged || is_damaged(packs_, id);
  };
  for (const auto& chunk : root->flat)
    add(chunk.id);
  for (uint32_t i = 0; i < root->segments.size(); ++i) {
    add(root->segments[i].id);
    auto segment = packs_.get(root->segments[i].id);
    auto* text = std::get_if<std::string>(&segment);
    auto chunks = text != nullptr ? parse_segment(*text, *root, i) : std::variant<std::vector<chunk_ref>, std::string>{std::string{}};
    if (auto* list = std::get_if<std::vector<chunk_ref>>(&chunks))
      for (const auto& chunk : *list)
        add(chunk.id);
  }
  return damaged;
}

/// What changed since it was marked is marked as well. False: too much of it.
bool content_care::catch_up(uint32_t now_s) {
  auto spaces = spaces_();
  if (spaces.size() != marked_.size())
    return false;
  for (size_t i = 0; i < spaces.size(); ++i) {
    if (spaces[i].rows != marked_[i].rows)
      return false;
    auto before = changes_[i];
    bool pins_changed = spaces[i].pinned != marked_[i].pinned;
    if (spaces[i].rows->changes() == before && !pins_changed)
      continue;
    changes_[i] = spaces[i].rows->changes();
    auto touched = spaces[i].rows->touched_since(before);
    if (!touched)
      return false;
    marked_[i].pinned = spaces[i].pinned;
    spaces[i].rows->read([&](const read_txn&, space_rows& rows) {
      auto policy = retention_of(rows);
      for (const auto& cid : spaces[i].pinned)
        mark_content(rows, cid);
      for (auto lid : *touched)
        if (auto row = rows.node(lid); row && !row->is_dir())
          mark_node(spaces[i], rows, lid, *row, policy, now_s);
    });
    marks_->close();
  }
  return true;
}

// -- scrub -------------------------------------------------------------------------------------------------------------------

std::optional<storage_failure> content_care::scrub_step(uint32_t now_s, bool& more) {
  if (!scrub_) {
    auto pack = next_scrub(packs_, now_s, scrub_every_s_);
    if (!pack)
      return std::nullopt;
    scrub_ = std::make_unique<pack_scrub>(packs_, *pack, now_s);
  }
  auto done = scrub_->step(scrub_bytes_per_step);
  if (auto* failure = std::get_if<storage_failure>(&done)) {
    scrub_.reset();
    return *failure;
  }
  more = true;
  if (!std::get<bool>(done))
    return std::nullopt;
  damaged_ += scrub_->damaged().size();
  if (!scrub_->damaged().empty())
    collect_now(); // after the one under way: finds out which files they belong to
  scrub_.reset();
  return std::nullopt;
}

} // namespace harp
