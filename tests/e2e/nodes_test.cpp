// Three nodes and a folder: what one writes all have, offline edits merge into one history, nothing is lost.
#define CAF_SUITE e2e_nodes
#include "tests/e2e/storage_site.hpp"

#include <caf/test/unit_test.hpp>

#include <filesystem>

using namespace harp::e2e;

namespace fs = std::filesystem;

CAF_TEST(a_folder_is_the_same_on_three_nodes) {
  storage_site site{3};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "hello.txt"), "hello from n0");
  fs::create_directories(site[1].file("work", "deep/er"));
  write_file(site[1].file("work", "deep/er/b.txt"), "from n1");
  write_file(site[2].file("work", "empty"), "");
  write_file(site[2].file("work", "big.bin"), std::string(3 << 20, 'x') + std::string(3 << 20, 'y'));
  CAF_REQUIRE_MESSAGE(until(30s * patience(), [&] { return site[0].tree("work").size() == 6; }), site.difference());
  CAF_REQUIRE_MESSAGE(site.settled(), site.difference());
  auto tree = site[0].tree("work");
  CAF_CHECK_EQUAL(tree["hello.txt"], "hello from n0");
  CAF_CHECK_EQUAL(tree["deep/er/b.txt"], "from n1");
  CAF_CHECK_EQUAL(tree["big.bin"].size(), size_t{6} << 20);

  // edit, rename, delete travel
  write_file(site[1].file("work", "hello.txt"), "edited on n1");
  fs::rename(site[2].file("work", "deep"), site[2].file("work", "moved"));
  fs::remove(site[0].file("work", "empty"));
  CAF_REQUIRE_MESSAGE(until(30s * patience(), [&] {
    for (auto& node : site.nodes) {
      auto now = node->tree("work");
      if (now["hello.txt"] != "edited on n1" || !now.contains("moved/er/b.txt") || now.contains("deep/") || now.contains("empty"))
        return false;
    }
    return true;
  }), site.difference());
  CAF_REQUIRE_MESSAGE(site.settled(), site.difference());
  for (auto& node : site.nodes)
    for (const auto& line : node->error_lines())
      CAF_ERROR(line);
}

CAF_TEST(offline_edits_merge_into_one_history) {
  storage_site site{3};
  CAF_REQUIRE(site.ready);
  write_file(site[0].file("work", "plan.txt"), "first");
  CAF_REQUIRE_MESSAGE(until(30s * patience(), [&] { return site[2].tree("work").contains("plan.txt") && site[1].tree("work").contains("plan.txt"); }), site.difference());
  CAF_REQUIRE_MESSAGE(site.settled(), site.difference());
  site[1].stop();
  site[2].stop();
  write_file(site[1].file("work", "plan.txt"), "by n1 on the train");
  write_file(site[1].file("work", "only1.txt"), "1");
  write_file(site[2].file("work", "plan.txt"), "by n2 on the plane");
  write_file(site[2].file("work", "only2.txt"), "2");
  CAF_REQUIRE(site[1].start());
  CAF_REQUIRE(until(30s * patience(), [&] { return site[0].tree("work").contains("only1.txt"); }));
  CAF_REQUIRE(site[2].start());
  CAF_REQUIRE_MESSAGE(until(30s * patience(), [&] { return site[0].tree("work").contains("only2.txt"); }), site.difference());
  CAF_REQUIRE_MESSAGE(site.settled(), site.difference());
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
    CAF_CHECK(history == site[0].json({"history", "work:plan.txt"}));
  }
  auto history = site[0].json({"history", "work:plan.txt"});
  std::string lost;
  for (const auto& version : history["versions"])
    if (version.value("overtaken", false))
      lost = version["version"];
  CAF_REQUIRE(!lost.empty());
  CAF_REQUIRE_EQUAL(site[1].command({"restore", "work:plan.txt", "--version", lost}).status, 0);
  auto other = current == "by n1 on the train" ? "by n2 on the plane" : "by n1 on the train";
  CAF_CHECK_MESSAGE(until(30s * patience(), [&] { return site[0].tree("work")["plan.txt"] == other && site[2].tree("work")["plan.txt"] == other; }), site.difference());
}
