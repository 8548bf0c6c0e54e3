#define CAF_SUITE node_conf
#include "storage/node_conf.hpp"

#include <caf/test/unit_test.hpp>

#include <filesystem>
#include <fstream>

using namespace harp;

namespace {

struct place {
  std::string dir;
  place() {
    char name[] = "/tmp/harp-conf-XXXXXX";
    dir = mkdtemp(name);
  }
  ~place() { std::filesystem::remove_all(dir); }
  [[nodiscard]] std::string file() const { return dir + "/node.json"; }
};

} // namespace

CAF_TEST(reads_back_what_it_wrote) {
  place p;
  node_conf conf;
  conf.cluster.bytes[3] = 7;
  conf.governor.bytes[31] = 9;
  conf.name = "Anns Läppi \"x\"";
  conf.listen = "[::]:8784";
  conf.addresses = {"10.0.0.1:8784", "wss://x.example/harp"};
  conf.listened = "127.0.0.1:40001";
  CAF_CHECK(conf.remember(conf.governor, {"10.0.0.1:8784"}));
  held_space space;
  space.id.bytes[0] = 1;
  space.dir = "/home/ann/Work";
  space.mode = keep_mode::online_only;
  conf.spaces.push_back(space);
  CAF_REQUIRE(!conf.save(p.file()));
  auto read = node_conf::load(p.file());
  auto* got = std::get_if<std::optional<node_conf>>(&read);
  CAF_REQUIRE(got && *got);
  CAF_CHECK(**got == conf);
  CAF_CHECK((*got)->find(space.id) != nullptr);
  CAF_CHECK((*got)->find(space_id{}) == nullptr);
  auto mode = std::filesystem::status(p.file()).permissions();
  CAF_CHECK((mode & std::filesystem::perms::others_read) == std::filesystem::perms::none);
}

CAF_TEST(remembers_where_members_are_within_limits) {
  node_conf conf;
  device_key member;
  CAF_CHECK(!conf.remember(member, {}));
  CAF_CHECK(conf.remember(member, {"a:1", "b:1", "c:1", "d:1", "e:1"}));
  CAF_CHECK_EQUAL(conf.members[member].size(), remembered_addresses_max);
  CAF_CHECK(!conf.remember(member, {"a:1", "b:1", "c:1", "d:1"})); // as known
  CAF_CHECK(conf.remember(member, {"f:1"}));
  CAF_CHECK(conf.members[member] == std::vector<std::string>{"f:1"});
  for (size_t i = 1; i < remembered_members_max; ++i) {
    member.bytes[0] = static_cast<uint8_t>(i);
    member.bytes[1] = static_cast<uint8_t>(i >> 8);
    CAF_CHECK(conf.remember(member, {"a:1"}));
  }
  member.bytes[2] = 1;
  CAF_CHECK(!conf.remember(member, {"a:1"})); // one too many
  CAF_CHECK_EQUAL(conf.members.size(), remembered_members_max);
}

CAF_TEST(tells_absent_from_damaged) {
  place p;
  auto none = node_conf::load(p.file());
  CAF_REQUIRE(std::holds_alternative<std::optional<node_conf>>(none));
  CAF_CHECK(!std::get<std::optional<node_conf>>(none));
  for (const char* text :
       {"", "{", "[]", "{\"cluster\":\"00\"}", "{\"cluster\":5,\"governor\":1,\"spaces\":[]}"}) {
    std::ofstream{p.file(), std::ios::trunc} << text;
    auto read = node_conf::load(p.file());
    CAF_REQUIRE(std::holds_alternative<std::string>(read));
    CAF_CHECK(std::get<std::string>(read).find("node.json") != std::string::npos);
  }
}

CAF_TEST(says_why_it_cannot_write) {
  auto trouble = node_conf{}.save("/nonexistent-dir/node.json");
  CAF_REQUIRE(trouble);
  CAF_CHECK(trouble->find("/nonexistent-dir") != std::string::npos);
}
