// Three nodes and a folder: what one writes all have, offline edits merge into one history, nothing is lost.
#define CAF_SUITE e2e_nodes
#include "tests/e2e/http_client.hpp"
#include "tests/e2e/storage_site.hpp"

#include <caf/test/unit_test.hpp>

#include <filesystem>

using namespace harp::e2e;

namespace fs = std::filesystem;

// CAF 0.17 has no check that tells more; what differs is told before.
#define NODES_REQUIRE(good, text) \
  do { \
    bool held = (good); \
    if (!held) \
      CAF_MESSAGE(text); \
    CAF_REQUIRE(held); \
  } while (false)
#define NODES_CHECK(good, text) \
  do { \
    bool held = (good); \
    if (!held) \
      CAF_MESSAGE(text); \
    CAF_CHECK(held); \
  } while (false)

namespace {

/// Without what each node knows for itself: where the content is, which line is settled there.
nlohmann::json shared_history(const storage_node& node, const std::string& path) {
  auto told = node.json({"history", path});
  if (told.is_object() && told["versions"].is_array())
    for (auto& version : told["versions"]) {
      version.erase("restorable");
      version.erase("settled");
    }
  return told;
}

} // namespace

CAF_TEST(a_folder_is_the_same_on_three_nodes) {
  storage_site site{3};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "hello.txt"), "hello from n0");
  fs::create_directories(site[1].file("work", "deep/er"));
  write_file(site[1].file("work", "deep/er/b.txt"), "from n1");
  write_file(site[2].file("work", "empty"), "");
  write_file(site[2].file("work", "big.bin"), std::string(3 << 20, 'x') + std::string(3 << 20, 'y'));
  NODES_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work").size() == 6; }), site.difference());
  NODES_REQUIRE(site.settled(), site.difference());
  auto tree = site[0].tree("work");
  CAF_CHECK_EQUAL(tree["hello.txt"], "hello from n0");
  CAF_CHECK_EQUAL(tree["deep/er/b.txt"], "from n1");
  CAF_CHECK_EQUAL(tree["big.bin"].size(), size_t{6} << 20);

  // edit, rename, delete travel
  write_file(site[1].file("work", "hello.txt"), "edited on n1");
  fs::rename(site[2].file("work", "deep"), site[2].file("work", "moved"));
  fs::remove(site[0].file("work", "empty"));
  NODES_REQUIRE(until(30s * patience(), [&] {
    for (auto& node : site.nodes) {
      auto now = node->tree("work");
      if (now["hello.txt"] != "edited on n1" || !now.contains("moved/er/b.txt") || now.contains("deep/") || now.contains("empty"))
        return false;
    }
    return true;
  }), site.difference());
  NODES_REQUIRE(site.settled(), site.difference());
  for (auto& node : site.nodes)
    for (const auto& line : node->error_lines())
      CAF_ERROR(line);
}

CAF_TEST(what_cannot_be_synced_is_told_and_waits_for_nothing) {
  storage_site site{2};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "bad\xff"), "1");
  write_file(site[0].file("work", "caf\xc3\xa9"), "composed");
  write_file(site[0].file("work", "cafe\xcc\x81"), "decomposed");
  fs::create_symlink("/etc/passwd", site[0].file("work", "out"));
  fs::create_symlink("last", site[0].file("work", "in"));
  write_file(site[0].file("work", "last"), "2");
  NODES_REQUIRE(until(30s * patience(), [&] { return site[1].tree("work").contains("last"); }), site.difference());
  NODES_REQUIRE(until(30s * patience(), [&] {
    for (auto& node : site.nodes)
      if (node->space("work").value("pending", 1) != 0)
        return false;
    return site[0].space("work")["state_root"] == site[1].space("work")["state_root"];
  }), site.difference());
  auto there = site[1].tree("work");
  CAF_CHECK_EQUAL(there.size(), 3u);
  CAF_CHECK_EQUAL(there["caf\xc3\xa9"], "composed");
  CAF_CHECK_EQUAL(there["in"], "-> last");
  CAF_CHECK(!there.contains("out")); // it would lead out of the space
  auto told_at = [&](size_t node, const std::string& part) {
    size_t found = 0;
    auto told = site[node].json({"notices"});
    if (told.is_object())
      for (const auto& notice : told["notices"])
        found += notice.value("words", "").find(part) != std::string::npos ? 1 : 0;
    return found;
  };
  CAF_CHECK_EQUAL(told_at(0, "its name is not UTF-8"), 1u);
  CAF_CHECK_EQUAL(told_at(0, "the same name in normal form"), 1u);
  CAF_CHECK_EQUAL(told_at(0, "leads out of the space"), 0u); // here it is the user's own
  CAF_CHECK_EQUAL(told_at(1, "out is not synced: a symbolic link that leads out of the space"), 1u);
  site[0].stop();
  CAF_REQUIRE(site[0].start());
  NODES_CHECK(site.nodes[0]->program().running() && until(30s * patience(), [&] { return site[0].space("work").value("pending", 1) == 0; }), site.difference());
  CAF_CHECK_EQUAL(told_at(0, "its name is not UTF-8"), 1u); // not again with every start
}

CAF_TEST(metrics_tell_of_the_storage_plane) {
  storage_site site{2};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "a"), "1");
  NODES_REQUIRE(until(30s * patience(), [&] { return site[1].tree("work").contains("a"); }), site.difference());
  auto console = site[1].json({"status"})["listeners"].value("console", "");
  auto text = get(console, "/metrics", {{"Host", console}}).body;
  for (const char* line : {"harp_members{role=", "harp_link_rtt_seconds{peer=", "harp_ops_pending 0", "harp_chunks_missing 0", "harp_notices_open 0"})
    CAF_CHECK(text.find(line) != text.npos);
  for (const char* name : {"harp_ops_total ", "harp_disk_free_bytes "}) {
    auto at = text.find(std::string{"\n"} + name);
    CAF_REQUIRE(at != text.npos);
    CAF_CHECK(std::strtod(text.c_str() + at + 1 + std::string{name}.size(), nullptr) > 0);
  }
}

CAF_TEST(offline_edits_merge_into_one_history) {
  storage_site site{3};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "plan.txt"), "first");
  NODES_REQUIRE(until(30s * patience(), [&] { return site[2].tree("work").contains("plan.txt") && site[1].tree("work").contains("plan.txt"); }), site.difference());
  NODES_REQUIRE(site.settled(), site.difference());
  site[1].stop();
  site[2].stop();
  write_file(site[1].file("work", "plan.txt"), "by n1 on the train");
  write_file(site[1].file("work", "only1.txt"), "1");
  write_file(site[2].file("work", "plan.txt"), "by n2 on the plane");
  write_file(site[2].file("work", "only2.txt"), "2");
  CAF_REQUIRE(site[1].start());
  CAF_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work").contains("only1.txt"); }));
  CAF_REQUIRE(site[2].start());
  NODES_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work").contains("only2.txt"); }), site.difference());
  NODES_REQUIRE(site.settled(), site.difference());
  auto tree = site[0].tree("work");
  CAF_CHECK_EQUAL(tree.size(), 3u); // no conflicted copy
  auto current = tree["plan.txt"];
  CAF_CHECK(current == "by n1 on the train" || current == "by n2 on the plane");

  for (auto& node : site.nodes) {
    auto history = node->json({"history", "work:plan.txt"});
    CAF_REQUIRE(history.is_object() && history["versions"].is_array());
    CAF_CHECK_EQUAL(history["versions"].size(), 3u);
    size_t overtaken = 0;
    for (const auto& version : history["versions"])
      overtaken += version.value("overtaken", false) ? 1 : 0;
    CAF_CHECK_EQUAL(overtaken, 1u);
    // the overtaken one can be had back, and the same is said everywhere
    CAF_CHECK(shared_history(*node, "work:plan.txt") == shared_history(site[0], "work:plan.txt"));
  }
  auto history = site[0].json({"history", "work:plan.txt"});
  std::string lost;
  for (const auto& version : history["versions"])
    if (version.value("overtaken", false))
      lost = version["version"];
  CAF_REQUIRE(!lost.empty());
  CAF_REQUIRE_EQUAL(site[1].command({"restore", "work:plan.txt", "--version", lost}).status, 0);
  auto other = current == "by n1 on the train" ? "by n2 on the plane" : "by n1 on the train";
  NODES_CHECK(until(30s * patience(), [&] { return site[0].tree("work")["plan.txt"] == other && site[2].tree("work")["plan.txt"] == other; }), site.difference());
}

CAF_TEST(an_invite_is_spent_once_and_cannot_be_raised) {
  storage_node founder{"founder"};
  CAF_REQUIRE_EQUAL(founder.command({"init", "--listen", "127.0.0.1:0"}).status, 0);
  CAF_REQUIRE(founder.start());
  CAF_REQUIRE_EQUAL(founder.command({"space", "create", "work", "--dir", founder.folder("work")}).status, 0);
  auto invited = founder.command({"invite", "--role", "reader", "--space", "work"});
  CAF_REQUIRE_EQUAL(invited.status, 0);
  auto token = last_line(invited.output);
  storage_node first{"first"};
  storage_node second{"second"};
  CAF_CHECK_EQUAL(first.command({"join", token, "--listen", "127.0.0.1:0"}).status, 0);
  auto refused = second.command({"join", token, "--listen", "127.0.0.1:0"});
  CAF_CHECK_EQUAL(refused.status, 1);
  CAF_CHECK(refused.output.find("spent already") != std::string::npos);
  CAF_CHECK(refused.output.find(token) == std::string::npos);
  auto again = first.command({"join", token, "--listen", "127.0.0.1:0"}); // J04: a lost answer costs nothing
  CAF_CHECK_EQUAL(again.status, 0);
  auto damaged = second.command({"join", token.substr(0, token.size() - 6) + "AAAAAA", "--listen", "127.0.0.1:0"});
  CAF_CHECK(damaged.status != 0);
  auto members = founder.json({"member", "ls"});
  CAF_REQUIRE(members.is_object());
  CAF_CHECK_EQUAL(members["members"].size(), 2u);
  CAF_CHECK(founder.log().find(token) == std::string::npos);
}

CAF_TEST(a_readers_change_stays_where_it_is) {
  storage_site site{2, "work", "reader"};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "book.txt"), "to be read");
  CAF_REQUIRE(until(30s * patience(), [&] { return site[1].tree("work").contains("book.txt"); }));
  write_file(site[1].file("work", "mine.txt"), "not for others");
  write_file(site[0].file("work", "later.txt"), "after it");
  CAF_REQUIRE(until(30s * patience(), [&] { return site[1].tree("work").contains("later.txt"); }));
  CAF_CHECK(until(30s * patience(), [&] {
    auto entry = site[1].space("work");
    return entry.is_object() && entry["pending_items"].dump().find("only read") != std::string::npos;
  }));
  CAF_CHECK(site[1].tree("work").contains("mine.txt"));
  CAF_CHECK(!site[0].tree("work").contains("mine.txt"));
}

CAF_TEST(a_revoked_device_gets_nothing_more) {
  storage_site site{2};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "before.txt"), "1");
  CAF_REQUIRE(until(30s * patience(), [&] { return site[1].tree("work").contains("before.txt"); }));
  CAF_REQUIRE_EQUAL(site[0].command({"member", "revoke", "n1"}).status, 0);
  write_file(site[0].file("work", "after.txt"), "2");
  CAF_CHECK(until(30s * patience(), [&] {
    auto status = site[0].json({"status"});
    return status.is_object() && status["peers"].empty();
  }));
  write_file(site[1].file("work", "from-outside.txt"), "3");
  CAF_CHECK(!until(3s, [&] { return site[0].tree("work").contains("from-outside.txt") || site[1].tree("work").contains("after.txt"); }));
}

CAF_TEST(goes_on_while_the_governor_is_away) {
  storage_site site{3};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "start.txt"), "s");
  NODES_REQUIRE(until(30s * patience(), [&] { return site[1].tree("work").contains("start.txt") && site[2].tree("work").contains("start.txt"); }), site.difference());
  CAF_REQUIRE(until(30s * patience(), [&] { // they know of each other by gossip, and leave the keeper's relay for a direct link
    auto status = site[1].json({"status"});
    size_t linked = 0;
    if (status.is_object())
      for (const auto& peer : status["peers"])
        linked += peer.value("linked", false) && peer.value("path", "") == "direct" ? 1 : 0;
    return linked == 2;
  }));
  site[0].stop();
  write_file(site[1].file("work", "laptops.txt"), "without the server");
  NODES_CHECK(until(30s * patience(), [&] { return site[2].tree("work")["laptops.txt"] == "without the server"; }), site.difference());
  CAF_REQUIRE(site[0].start());
  NODES_CHECK(site.settled(60s), site.difference());
}

CAF_TEST(survives_kills_under_load) {
  storage_site site{2};
  CAF_REQUIRE(site.ready);
  size_t number = 0;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 100; ++i) {
      auto name = "f" + std::to_string(number++);
      write_file(site[number % 2].file("work", name), "content of " + name);
    }
    auto& victim = site[static_cast<size_t>(round) % 2];
    victim.kill();
    CAF_REQUIRE(victim.start());
  }
  NODES_REQUIRE(until(90s * patience(), [&] { return site[0].tree("work").size() == number && site[1].tree("work").size() == number; }), site.difference().substr(0, 2000));
  NODES_CHECK(site.settled(60s), site.difference().substr(0, 2000));
  for (const auto& [path, content] : site[1].tree("work"))
    CAF_CHECK_EQUAL(content, "content of " + path);
  for (auto& node : site.nodes)
    CAF_CHECK_EQUAL(node->command({"verify"}).status, 0);
}
