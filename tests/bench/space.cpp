// One space with many nodes on the real store: opening it again, and a batch of late operations into it (storage.md 13: 9, 16).
// Usage: bench_space restart|late --nodes N --late M --dir DIR; prints one JSON object on its last line.
#include "storage/content_root.hpp"
#include "storage/digest.hpp"
#include "storage/signing.hpp"
#include "storage/space_store.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <string>

using namespace harp;

namespace {

constexpr uint64_t day_ms = 86'400'000;
constexpr uint64_t today_ms = 1'795'000'000'000;
constexpr uint64_t files_per_dir = 1000;
constexpr uint64_t batch_ops = 2000; // storage.md 4.2: one transaction
constexpr replica_id keeper = 1, laptop = 2;

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "bench_space: %s\n", why.c_str());
  std::exit(1);
}

struct stopwatch {
  std::chrono::steady_clock::time_point wall = std::chrono::steady_clock::now();
  std::clock_t cpu = std::clock();
  [[nodiscard]] nlohmann::json figures() const {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - wall;
    return {{"wall_s", passed.count()},
            {"cpu_s", static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC}};
  }
};

/// Memory of our own: mapped database pages are the system's to take back.
double private_mib() {
  std::ifstream status("/proc/self/status");
  double kib = 0;
  for (std::string word; status >> word;)
    if (word == "RssAnon:")
      status >> kib;
  return kib / 1024;
}

content_ref content_of(uint64_t n) {
  const auto bytes = static_cast<uint32_t>(10'000 + n % 50'000);
  content_ref out;
  out.size = bytes;
  out.root = encode_root({bytes, 1, {{chunk_id_of(std::to_string(n)), bytes}}, {}});
  out.cid = content_id_of(out.root);
  return out;
}

/// Two devices of one space, each with its own store.
struct two_devices {
  signing_key governor = signing_key::make(), first = signing_key::make(),
              second = signing_key::make();
  space_id id;
  std::unique_ptr<space_store> at_keeper, at_laptop;

  std::unique_ptr<space_store> open(const std::filesystem::path& dir,
                                    const signing_key& device) const {
    auto opened = space_store::open(dir, id, governor.public_key(), device);
    if (auto* why = std::get_if<std::string>(&opened))
      fail(*why);
    return std::move(std::get<0>(opened));
  }

  explicit two_devices(const std::filesystem::path& dir) {
    id.bytes[0] = 7;
    at_keeper = open(dir / "keeper", first);
    at_laptop = open(dir / "laptop", second);
    for (auto* store :
         {at_keeper.get(), at_laptop.get()}) // the same entries: signatures are deterministic
      for (const auto& [rid, key] : {std::pair{keeper, &first}, std::pair{laptop, &second}})
        if (auto why
            = store->govern(roster_add_device{rid, key->public_key(), member_role::writer, "ann",
                                              "device" + std::to_string(rid), 0, false},
                            today_ms - 30 * day_ms, governor))
          fail(*why);
  }
};

std::vector<bundle_ptr> commit(space_store& store, uint64_t now_ms,
                               const std::function<void(space_edit&)>& work) {
  auto done = store.commit(now_ms, [&](space_edit& edit, space_rows&, write_txn&) { work(edit); });
  if (auto* why = std::get_if<std::string>(&done))
    fail(*why);
  return std::get<space_change>(done).made;
}

local_id must(const edit_outcome& outcome) {
  if (const auto* refused = std::get_if<edit_refusal>(&outcome))
    fail(std::string{to_string(*refused)});
  return std::get<edit_done>(outcome).lid;
}

/// Files `from` .. `to - 1`, files_per_dir to a directory; all bundles made.
std::vector<bundle_ptr> make_files(space_store& store, uint64_t from, uint64_t to,
                                   uint64_t now_ms) {
  std::vector<bundle_ptr> out;
  for (uint64_t at = from; at < to;) {
    const uint64_t end = std::min(to, at + batch_ops);
    const auto made = commit(store, now_ms + at, [&](space_edit& edit) {
      local_id dir = 0;
      for (uint64_t n = at; n < end; ++n) {
        if (n == at || n % files_per_dir == 0)
          dir = must(edit.make_dir(root_lid, "dir" + std::to_string(n / files_per_dir)));
        node_meta meta;
        meta.mtime_ns = static_cast<int64_t>(n) * 1'000'003;
        must(edit.make_file(dir, "IMG_" + std::to_string(10'000'000 + n) + ".jpg", node_kind::file,
                            meta, content_of(n)));
      }
    });
    out.insert(out.end(), made.begin(), made.end());
    at = end;
  }
  return out;
}

/// What a laptop did a week ago without contact: edits, renames, deletions, new files, a move of a directory now and then.
std::vector<bundle_ptr> work_offline(space_store& store, uint64_t known, uint64_t count,
                                     uint64_t now_ms) {
  std::mt19937_64 random(9);
  std::vector<bundle_ptr> out;
  for (uint64_t at = 0; at < count; at += batch_ops) {
    const auto made = commit(store, now_ms + at, [&](space_edit& edit) {
      for (uint64_t n = at; n < std::min(count, at + batch_ops); ++n) {
        const auto lid
            = 2
              + random()
                    % known; // any node but the root; one that is refused was deleted or is a directory
        node_meta meta;
        meta.mtime_ns = static_cast<int64_t>(n);
        switch (n % 500 == 0 ? 9u : n % 8) {
        case 9:
          edit.move(lid, root_lid, "moved" + std::to_string(n));
          break;
        case 0:
          edit.move(lid, root_lid, "renamed" + std::to_string(n) + ".jpg");
          break;
        case 1:
          edit.remove(lid);
          break;
        case 2:
          edit.make_file(root_lid, "new" + std::to_string(n) + ".jpg", node_kind::file, meta,
                         content_of(n + (1u << 30)));
          break;
        default:
          edit.edit(lid, {}, meta, content_of(n + (1u << 29)));
        }
      }
    });
    out.insert(out.end(), made.begin(), made.end());
  }
  return out;
}

nlohmann::json run_late(two_devices& world, uint64_t nodes, uint64_t late) {
  const uint64_t shared = std::min(nodes / 2, late);
  const auto before = make_files(*world.at_keeper, 0, shared, today_ms - 9 * day_ms);
  world.at_laptop->apply(before, today_ms - 9 * day_ms + shared);
  const auto arriving = work_offline(*world.at_laptop, shared, late, today_ms - 7 * day_ms);
  make_files(*world.at_keeper, shared, nodes, today_ms - 2 * day_ms);
  size_t ops = 0;
  for (const auto& one : arriving)
    ops += one->content.ops.size();
  stopwatch watch;
  for (size_t at = 0; at < arriving.size();) { // transactions of up to batch_ops
    size_t end = at, sum = 0;
    while (end < arriving.size()
           && (end == at || sum + arriving[end]->content.ops.size() <= batch_ops))
      sum += arriving[end++]->content.ops.size();
    world.at_keeper->apply(std::span(arriving).subspan(at, end - at), today_ms);
    at = end;
  }
  auto out = watch.figures();
  out["ops"] = ops;
  if (world.at_keeper->known().at(laptop) != arriving.back()->content.seq)
    fail("late operations were not applied");
  if (world.at_keeper->recount())
    fail("the state root was wrong");
  return out;
}

nlohmann::json run_restart(two_devices& world, const std::filesystem::path& dir, uint64_t nodes) {
  make_files(*world.at_keeper, 0, nodes, today_ms - 9 * day_ms);
  const auto root = world.at_keeper->state_root();
  world.at_keeper.reset();
  stopwatch watch;
  world.at_keeper = world.open(dir / "keeper", world.first);
  size_t listed = 0;
  world.at_keeper->read([&](const read_txn&, space_rows& rows) {
    rows.each_entry(root_lid, {}, [&](std::string_view, local_id) { return ++listed != 0; });
  });
  auto out = watch.figures();
  if (world.at_keeper->state_root() != root || listed == 0)
    fail("the space is another after the restart");
  return out;
}

} // namespace

int main(int argc, char** argv) {
  const std::string work = argc > 1 ? argv[1] : "";
  uint64_t nodes = 100'000, late = 5'000;
  std::filesystem::path dir;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    if (key == "--nodes")
      nodes = std::strtoull(argv[i + 1], nullptr, 10);
    else if (key == "--late")
      late = std::strtoull(argv[i + 1], nullptr, 10);
    else if (key == "--dir")
      dir = argv[i + 1];
  }
  if (dir.empty() || nodes < 10 || late < 10 || (work != "restart" && work != "late"))
    fail("usage: bench_space restart|late --nodes N --late M --dir DIR");
  try {
    two_devices world(dir);
    auto out = work == "late" ? run_late(world, nodes, late) : run_restart(world, dir, nodes);
    out["memory_mib"] = private_mib();
    std::cout << out.dump() << '\n';
  } catch (const storage_failure& failure) {
    fail(failure.what);
  }
  return 0;
}
