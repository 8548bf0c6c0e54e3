// The months of a space in seconds: history is agreed and cut, newcomers begin with a snapshot, a laggard loses nothing,
// damaged bytes come back (storage.md 5.2, 5.4, 6.3; quality.md C04).
#define CAF_SUITE e2e_lifecycle
#include "tests/e2e/storage_site.hpp"

#include <caf/test/unit_test.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

using namespace harp::e2e;

namespace fs = std::filesystem;

// CAF 0.17 has no check that tells more; what differs is told before.
#define LIFE_REQUIRE(good, text) \
  do { \
    bool held = (good); \
    if (!held) \
      CAF_MESSAGE(text); \
    CAF_REQUIRE(held); \
  } while (false)

namespace {

const std::map<std::string, std::string> fast{{"HARP_STORAGE_CHECKPOINT_EVERY", "1s"}, {"HARP_STORAGE_ACTIVE_FOR", "3s"}};

size_t count_of(const std::string& text, const std::string& part) {
  size_t out = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1))
    ++out;
  return out;
}

bool has_line(const storage_node& node, const std::string& code, const std::string& part = {}) {
  std::istringstream lines{node.log()};
  for (std::string line; std::getline(lines, line);)
    if (line.find(code) != line.npos && line.find(part) != line.npos)
      return true;
  return false;
}

void check_no_errors(storage_site& site) {
  for (auto& node : site.nodes)
    for (const auto& line : node->error_lines())
      CAF_ERROR(node->name() << ": " << line);
}

/// Joins and holds the space; false with the reason on stdout.
bool let_in(storage_node& founder, storage_node& node, bool with_folder = true) {
  auto invited = founder.command({"invite", "--role", "writer", "--space", "work"});
  auto joined = node.command({"join", last_line(invited.output), "--name", node.name(), "--listen", "127.0.0.1:0"});
  if (joined.status != 0 || !node.start()) {
    CAF_MESSAGE(invited.output << joined.output);
    return false;
  }
  if (!with_folder)
    return true;
  fs::create_directories(node.folder("work"));
  return node.command({"space", "add", "work", "--dir", node.folder("work")}).status == 0;
}

/// The next one as soon as the one before has come: a file that is written to all the time is never settled.
void sign_of_life(storage_node& from, storage_node& to, int& n) {
  if (n == 0 || to.tree("work")["sign.txt"] == std::to_string(n))
    write_file(from.file("work", "sign.txt"), std::to_string(++n));
}

std::string noise(size_t bytes, unsigned seed) {
  std::mt19937_64 random{seed};
  std::string out(bytes, '\0');
  for (auto& c : out)
    c = static_cast<char>(random());
  return out;
}

} // namespace

CAF_TEST(a_newcomer_begins_with_a_snapshot_when_the_log_is_cut) {
  storage_site site{2, "work", "writer", fast};
  CAF_REQUIRE(site.ready);
  fs::create_directories(site[0].file("work", "dir"));
  for (int i = 0; i < 20; ++i)
    write_file(site[0].file("work", "dir/k" + std::to_string(i)), "keeper " + std::to_string(i));
  write_file(site[1].file("work", "laptop.txt"), "from the laptop");
  LIFE_REQUIRE(until(30s * patience(), [&] { return site[1].tree("work").size() == 22 && site[0].tree("work").size() == 22; }), site.difference());
  fs::remove(site[0].file("work", "dir/k0"));
  // every write is a sign of life, so the agreed line moves; behind it the log goes
  int n = 0;
  LIFE_REQUIRE(until(40s * patience(), [&] {
    sign_of_life(site[1], site[0], n);
    return count_of(site[0].log(), "HARP-O005") >= 2;
  }), site[0].log());
  site.nodes.push_back(std::make_unique<storage_node>("late"));
  site[2].environment = fast;
  CAF_REQUIRE(let_in(site[0], site[2]));
  LIFE_REQUIRE(until(30s * patience(), [&] { return site[2].tree("work").contains("dir/k7"); }), site.difference() + site[2].log());
  LIFE_REQUIRE(site.settled(), site.difference());
  CAF_CHECK(has_line(site[2], "HARP-O008"));
  CAF_CHECK(!site[2].tree("work").contains("dir/k0"));
  // and it is a member like any other
  write_file(site[2].file("work", "mine.txt"), "from the newcomer");
  LIFE_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work").contains("mine.txt") && site[1].tree("work").contains("mine.txt"); }), site.difference());
  auto history = site[2].json({"history", "work:laptop.txt"});
  CAF_CHECK(history == site[0].json({"history", "work:laptop.txt"}));
  check_no_errors(site);
}

CAF_TEST(a_laggard_comes_back_and_nothing_of_its_work_is_lost) {
  storage_site site{3, "work", "writer", fast};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "plan.txt"), "first");
  write_file(site[0].file("work", "gone.txt"), "to be removed on the train");
  write_file(site[0].file("work", "kept.txt"), "removed on the train, edited at home");
  write_file(site[0].file("work", "named.txt"), "to be renamed on the train");
  write_file(site[2].file("work", "before.txt"), "by n2 before");
  LIFE_REQUIRE(until(30s * patience(), [&] { return site[2].tree("work").size() == 5 && site[1].tree("work").size() == 5 && site[0].tree("work").size() == 5; }), site.difference());
  LIFE_REQUIRE(site.settled(), site.difference());
  // n2 alone: all of this becomes operations that nobody else has
  site[0].stop();
  site[1].stop();
  write_file(site[2].file("work", "plan.txt"), "by n2 on the train");
  write_file(site[2].file("work", "new.txt"), "made on the train");
  fs::create_directories(site[2].file("work", "trip"));
  write_file(site[2].file("work", "trip/photo.txt"), "seen from the train");
  fs::remove(site[2].file("work", "gone.txt"));
  fs::remove(site[2].file("work", "kept.txt"));
  fs::rename(site[2].file("work", "named.txt"), site[2].file("work", "renamed.txt"));
  LIFE_REQUIRE(until(30s * patience(), [&] {
    auto listed = site[2].command({"ls", "work"}).output;
    auto history = site[2].json({"history", "work:plan.txt"});
    return listed.find("new.txt") != listed.npos && listed.find("trip") != listed.npos && listed.find("gone.txt") == listed.npos && listed.find("kept.txt") == listed.npos
           && listed.find("renamed.txt") != listed.npos && history.is_object() && history["versions"].size() == 2;
  }), site[2].log());
  site[2].stop();
  write_file(site[2].file("work", "while off.txt"), "the daemon was off");
  // the others agree without it
  CAF_REQUIRE(site[0].start());
  CAF_REQUIRE(site[1].start());
  write_file(site[0].file("work", "plan.txt"), "by n0 meanwhile");
  write_file(site[0].file("work", "kept.txt"), "edited at home");
  int n = 0;
  LIFE_REQUIRE(until(60s * patience(), [&] {
    sign_of_life(site[1], site[0], n);
    return has_line(site[0], "HARP-O004", "\"cut\":1") && has_line(site[1], "HARP-O004", "\"cut\":1");
  }), site[0].log());
  CAF_REQUIRE(site[2].start());
  LIFE_REQUIRE(until(60s * patience(), [&] {
    auto tree = site[0].tree("work");
    return tree.contains("new.txt") && tree.contains("trip/photo.txt") && tree.contains("while off.txt") && !tree.contains("gone.txt") && tree.contains("renamed.txt") && !tree.contains("named.txt");
  }), site.difference() + site[2].log());
  LIFE_REQUIRE(site.settled(60s), site.difference());
  auto tree = site[2].tree("work");
  CAF_CHECK_EQUAL(tree["new.txt"], "made on the train");
  CAF_CHECK_EQUAL(tree["trip/photo.txt"], "seen from the train");
  CAF_CHECK_EQUAL(tree["before.txt"], "by n2 before");
  CAF_CHECK_EQUAL(tree["kept.txt"], "edited at home"); // its deletion had not seen that
  CAF_CHECK_EQUAL(tree["renamed.txt"], "to be renamed on the train");
  CAF_CHECK(has_line(site[2], "HARP-J003"));
  auto history = site[0].json({"history", "work:plan.txt"});
  CAF_REQUIRE(history.is_object());
  CAF_CHECK_EQUAL(history["versions"].size(), 3u); // both edits in one history
  CAF_CHECK(tree["plan.txt"] == "by n2 on the train" || tree["plan.txt"] == "by n0 meanwhile");
  check_no_errors(site);
}

CAF_TEST(stored_bytes_that_the_disk_damaged_are_found_and_fetched_again) {
  storage_site site{2, "work", "writer", {{"HARP_STORAGE_SCRUB_EVERY", "1s"}}};
  CAF_REQUIRE(site.ready);
  auto old = noise(3 << 20, 1);
  write_file(site[1].file("work", "file.bin"), old);
  fs::create_directories(site[1].file("work", "laptop only"));
  LIFE_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work")["file.bin"] == old && site[0].tree("work").contains("laptop only/"); }), site.difference());
  CAF_REQUIRE_EQUAL(site[0].command({"space", "select", "work:laptop only", "ignore"}).status, 0);
  write_file(site[1].file("work", "laptop only/copy.bin"), old); // the same content, but not on the keeper's disk
  write_file(site[1].file("work", "lonely.txt"), noise(300 << 10, 2));
  LIFE_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work").contains("lonely.txt") && site[1].space("work").value("pending", 1) == 0; }), site.difference());
  write_file(site[1].file("work", "file.bin"), "another content");
  write_file(site[1].file("work", "lonely.txt"), "another, too");
  LIFE_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work")["file.bin"] == "another content" && site[0].tree("work")["lonely.txt"] == "another, too"; }), site.difference());
  auto history = site[0].json({"history", "work:file.bin"});
  CAF_REQUIRE(history.is_object() && history["versions"].size() == 2);
  // a bit in a thousand, everywhere behind the head
  size_t flipped = 0;
  for (const auto& file : fs::recursive_directory_iterator{site[0].state() + "/storage/packs"}) {
    if (!file.is_regular_file())
      continue;
    std::fstream raw{file.path(), std::ios::in | std::ios::out | std::ios::binary};
    auto size = static_cast<std::streamoff>(file.file_size());
    for (std::streamoff at = 1024; at < size; at += 100'000, ++flipped) {
      raw.seekg(at);
      auto byte = static_cast<char>(raw.get() ^ 0x55);
      raw.seekp(at);
      raw.put(byte);
    }
  }
  CAF_REQUIRE(flipped > 10);
  LIFE_REQUIRE(until(60s * patience(), [&] { return has_line(site[0], "HARP-C010"); }), site[0].log());
  // the one comes back from the laptop's other file; of the other nobody has the bytes, so it is named
  LIFE_REQUIRE(until(60s * patience(), [&] {
    auto now = site[0].space("work");
    return now.is_object() && now["damaged"] == nlohmann::json::array({"lonely.txt"});
  }), site[0].space("work").dump() + site[0].log());
  std::string first;
  for (const auto& version : history["versions"])
    if (version.value("size", 0u) == old.size())
      first = version["version"];
  CAF_REQUIRE(!first.empty());
  CAF_REQUIRE_EQUAL(site[0].command({"restore", "work:file.bin", "--version", first}).status, 0);
  LIFE_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work")["file.bin"] == old && site[1].tree("work")["file.bin"] == old; }), site[0].log());
  CAF_CHECK_EQUAL(site[0].tree("work")["lonely.txt"], "another, too"); // never replaced by what is damaged
  CAF_CHECK(site[0].space("work").value("notices", 0) >= 2);
}

CAF_TEST(what_a_keeper_writes_itself_is_safe) {
  storage_site site{1};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "own.txt"), "written on the keeper");
  CAF_CHECK(until(30s * patience(), [&] {
    auto told = site[0].json({"copies", "work:own.txt"});
    return told.is_object() && told.value("safe", false);
  }));
}

CAF_TEST(half_a_download_goes_with_the_space) {
  storage_site site{1};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "big.bin"), noise(6 << 20, 3));
  storage_node laptop{"laptop"};
  CAF_REQUIRE(let_in(site[0], laptop, false));
  LIFE_REQUIRE(until(30s * patience(), [&] { return laptop.command({"ls", "work"}).output.find("big.bin") != std::string::npos; }), laptop.log());
  site[0].program().signal(SIGSTOP); // linked, but it gives nothing
  fs::create_directories(laptop.folder("work"));
  CAF_REQUIRE_EQUAL(laptop.command({"space", "add", "work", "--dir", laptop.folder("work")}).status, 0);
  auto temps = [&] {
    size_t out = 0;
    for (const auto& entry : fs::directory_iterator{laptop.folder("work")})
      out += entry.path().filename().string().ends_with(".tmp") ? 1 : 0;
    return out;
  };
  LIFE_REQUIRE(until(30s * patience(), [&] { return temps() == 1; }), laptop.log());
  CAF_REQUIRE_EQUAL(laptop.command({"space", "rm", "work"}).status, 0);
  CAF_CHECK_EQUAL(temps(), 0u);
  site[0].program().signal(SIGCONT);
}

CAF_TEST(first_calls_at_once_open_one_store) {
  storage_node node{"alone"};
  CAF_REQUIRE(node.start());
  std::vector<std::thread> callers;
  std::vector<run_result> told(8);
  for (auto& one : told)
    callers.emplace_back([&node, &one] { one = node.command({"space", "ls"}); });
  for (auto& caller : callers)
    caller.join();
  for (const auto& one : told) {
    CAF_CHECK_EQUAL(one.status, told.front().status);
    CAF_CHECK(one.output.find("no cluster yet") != std::string::npos); // not that its database cannot be opened
  }
  CAF_CHECK_EQUAL(node.command({"init", "--listen", "127.0.0.1:0"}).status, 0);
}
