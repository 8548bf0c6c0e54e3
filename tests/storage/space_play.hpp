// Replicas of one space at play, by seed: random intents, partitions, duplication, any causal order, batch splits,
// checkpoints, purge, cuts. What each of them shows is compared with the reference.
#pragma once

#include "storage/checkpoint.hpp"
#include "storage/space_edit.hpp"
#include "storage/space_rows_memory.hpp"
#include "tests/storage/reference_model.hpp"

#include <random>

namespace harp::play {

/// Everything a replica shows, in the words of the reference.
reference::view view_of(space_rows& rows);

/// Empty: the rows keep their promises (counters, entries, state roots equal a recount).
std::string check_rows(space_rows& rows);

struct play_options {
  unsigned replicas = 3;
  unsigned steps = 60;
  bool checkpoints = false;
  bool purge = false;
  bool cuts = false;
  bool liar = false; // one Beat claims a clock its author does not keep to
  reference::mutant wrong = reference::mutant::none; // what the reference gets wrong
};

class world;

struct replica_at_play final : bundle_source {
  space_rows_memory rows;
  replica_id rid = 0;
  uint64_t hlc = 0;
  int64_t skew_ms = 0;
  bool retired = false; // cut: signs nothing any more
  version_vector last_context;
  std::vector<size_t> inbox;                           // indices of bundles not delivered yet
  std::vector<std::pair<replica_id, uint64_t>> roster; // cuts not heard of yet
  world* home = nullptr;

  void each(replica_id author, uint64_t from, uint64_t to,
            const std::function<bool(const bundle&)>& visit) override;
};

/// The mixture of schedules by seed.
play_options options_of(uint64_t seed);

class world {
public:
  world(uint64_t seed, play_options options);

  /// Plays. Empty: all went as the reference says; else what did not.
  std::string run();

  // for directed tests
  replica_at_play& at(size_t n) { return peers_[n]; }
  /// Signs what `edit` does at replica n and posts it to all others.
  void act(size_t n, const std::function<void(space_edit&)>& edit);
  /// Delivers everything from posts to replica n that it can take.
  apply_result deliver(size_t n);
  /// Only what `author` signed.
  apply_result deliver_from(size_t n, replica_id author);
  void deliver_all();
  void tick(uint64_t ms) { now_ms_ += ms; }
  void beat(size_t n, uint64_t ahead = 0);
  bool checkpoint(size_t n, const std::vector<size_t>& active);
  void cut(replica_id rid, uint64_t seq);
  apply_result hear_cuts(size_t n);
  reference::view expected(size_t n);
  reference::view expected_of_all();
  std::string check(size_t n, bool everything);
  /// All bundles in words, for a failing seed.
  [[nodiscard]] std::string ops_text() const;
  const std::vector<bundle>& bundles() const { return bundles_; }
  uint64_t content_count = 0;

private:
  void step();
  void random_intents(size_t n);
  bool random_intent(space_edit& edit, space_rows& rows);
  apply_result deliver_some(size_t n, std::vector<size_t> which);
  unsigned pick(size_t count) { return static_cast<unsigned>(random_() % count); }
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  std::mt19937_64 random_;
  play_options options_;
  bool coarse_ = false; // clocks that stand still: equal stamps but for the replica
  uint64_t now_ms_ = 1'000'000'000'000;
  std::vector<replica_at_play> peers_;
  std::vector<bundle> bundles_;
  std::map<replica_id, std::vector<size_t>> chains_;
  std::vector<beat_fact> beats_;
  std::map<replica_id, uint64_t> cuts_;
  friend struct replica_at_play;
};

content_ref content(uint64_t n);

} // namespace harp::play
