// Local intents: one replica alone is a plain tree (storage.md 15.3), limits, drafts, refusals, restore, rewind.
#define CAF_SUITE space_edit
#include "tests/storage/space_play.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

using namespace harp;
using play::content;

namespace {

/// A tree as everybody knows it: path -> content, 0 for a dir.
struct plain_tree {
  std::map<std::string, uint64_t> nodes{{"", 0}};

  bool is_dir(const std::string& path) const {
    auto it = nodes.find(path);
    return it != nodes.end() && it->second == 0;
  }
  static std::string join(const std::string& dir, const std::string& name) {
    return dir.empty() ? name : dir + "/" + name;
  }
  bool add(const std::string& dir, const std::string& name, uint64_t n) {
    return is_dir(dir) && nodes.emplace(join(dir, name), n).second;
  }
  bool make_dir(const std::string& dir, const std::string& name) {
    return is_dir(dir) && (is_dir(join(dir, name)) || add(dir, name, 0));
  }
  bool move(const std::string& from, const std::string& dir, const std::string& name) {
    auto to = join(dir, name);
    if (from == to)
      return true;
    if (!is_dir(dir) || nodes.contains(to) || (to + "/").starts_with(from + "/"))
      return false;
    std::map<std::string, uint64_t> moved;
    for (auto it = nodes.begin(); it != nodes.end();)
      if ((it->first + "/").starts_with(from + "/")) {
        moved[to + it->first.substr(from.size())] = it->second;
        it = nodes.erase(it);
      } else {
        ++it;
      }
    nodes.merge(moved);
    return true;
  }
  void remove(const std::string& path) {
    std::erase_if(nodes, [&](const auto& n) { return (n.first + "/").starts_with(path + "/"); });
  }
};

std::map<std::string, uint64_t> tree_of(space_rows& rows) {
  std::map<std::string, uint64_t> out;
  for (const auto& [path, line] : play::view_of(rows)) {
    if (path.starts_with("trash:"))
      continue;
    auto clean = path.empty() ? path : path.substr(1);
    auto found = space_tree(rows).resolve(clean);
    CAF_REQUIRE(found);
    CAF_CHECK_EQUAL(found->members.size(), 1u);
    out[clean] = found->entry.size;
  }
  return out;
}

struct alone {
  space_rows_memory rows;
  uint64_t hlc = 1ull << 40;

  std::vector<draft_bundle> act(const std::function<void(space_edit&)>& what) {
    auto seq = rows.replica(1).value_or(replica_row{}).seq + 1;
    hlc += 1 << 16;
    space_edit edit(rows, {1, seq}, hlc, {1, nullptr});
    what(edit);
    auto drafts = edit.take();
    hlc = edit.last_hlc();
    return drafts;
  }
  local_id lid(const std::string& path) {
    auto found = space_tree(rows).resolve(path);
    return found ? found->entry.lid : 0;
  }
};

bool is(const edit_outcome& out, edit_refusal why) {
  return out.index() == 1 && std::get<1>(out) == why;
}

} // namespace

CAF_TEST(one_replica_alone_is_a_plain_tree) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    alone one;
    plain_tree plain;
    auto any = [&] {
      auto it = plain.nodes.begin();
      std::advance(it, static_cast<std::ptrdiff_t>(random() % plain.nodes.size()));
      return it->first;
    };
    for (uint64_t step = 1; step <= 60; ++step) {
      auto path = any();
      auto dir = any();
      std::string name(1, static_cast<char>('a' + random() % 4));
      bool here = false;
      bool there = false;
      one.act([&](space_edit& edit) {
        switch (random() % 5) {
        case 0:
          here
              = edit.make_file(one.lid(dir), name, node_kind::file, {}, content(step)).index() == 0;
          there = plain.add(dir, name, step);
          break;
        case 1:
          here = edit.make_dir(one.lid(dir), name).index() == 0;
          there = plain.make_dir(dir, name);
          break;
        case 2:
          here = edit.edit(one.lid(path), {}, {}, content(step)).index() == 0;
          there = !plain.is_dir(path);
          if (there)
            plain.nodes[path] = step;
          break;
        case 3:
          here = edit.move(one.lid(path), one.lid(dir), name).index() == 0;
          there = !path.empty() && plain.move(path, dir, name);
          break;
        default:
          here = edit.remove(one.lid(path)).index() == 0;
          there = !path.empty();
          if (there)
            plain.remove(path);
        }
      });
      CAF_CHECK_EQUAL(here, there);
      if (tree_of(one.rows) != plain.nodes || here != there) {
        CAF_ERROR("seed " << seed << " step " << step);
        return;
      }
    }
    CAF_CHECK(one.rows.notices(10).empty());
    for (const auto& move : one.rows.dir_moves_from({}))
      CAF_CHECK(move.effective);
  }
}

CAF_TEST(create_and_delete_of_one_node_never_share_a_bundle) {
  alone one;
  auto drafts = one.act([&](space_edit& edit) {
    auto made = std::get<0>(edit.make_file(root_lid, "a", node_kind::file, {}, content(1)));
    edit.remove(made.lid);
    edit.make_file(root_lid, "a", node_kind::file, {}, content(2));
  });
  CAF_REQUIRE_EQUAL(drafts.size(), 2u);
  CAF_CHECK_EQUAL(drafts[1].id.seq, 2u);
  CAF_CHECK(drafts[1].hlc > drafts[0].hlc);
  CAF_CHECK_EQUAL(one.rows.replica(1).value_or(replica_row{}).seq, 2u);
  CAF_CHECK(space_tree(one.rows).resolve("a")->entry.cid == content(2).cid);
}

CAF_TEST(large_intents_are_split_at_the_limits) {
  alone one;
  auto made = one.act([&](space_edit& edit) {
    auto dir = std::get<0>(edit.make_dir(root_lid, "d")).lid;
    for (unsigned i = 0; i < 5000; ++i)
      edit.make_file(dir, std::to_string(i), node_kind::file, {}, content(i + 1));
  });
  CAF_CHECK_EQUAL(made.size(), 2u);
  for (const auto& draft : made)
    CAF_CHECK(draft.ops.size() <= bundle_ops_max);
  auto gone = one.act([&](space_edit& edit) { edit.remove(one.lid("d")); });
  size_t items = 0;
  for (const auto& draft : gone)
    for (const auto& op : draft.ops) {
      CAF_CHECK(std::get<op_delete>(op).items.size() <= delete_items_max);
      items += std::get<op_delete>(op).items.size();
    }
  CAF_CHECK_EQUAL(items, 5001u);
  CAF_CHECK_EQUAL(play::check_rows(one.rows), "");
  one.act([&](space_edit& edit) { edit.restore_deleted(space_tree(one.rows).in_trash("d")->lid); });
  CAF_CHECK_EQUAL(space_tree(one.rows).list(one.lid("d"), {}, 10'000).entries.size(), 5000u);
}

CAF_TEST(refuses_what_is_no_tree) {
  alone one;
  one.act([&](space_edit& edit) {
    auto dir = std::get<0>(edit.make_dir(root_lid, "d")).lid;
    auto file = std::get<0>(edit.make_file(root_lid, "f", node_kind::file, {}, content(1))).lid;
    CAF_CHECK(is(edit.make_file(root_lid, "f", node_kind::file, {}, content(2)),
                 edit_refusal::name_taken));
    CAF_CHECK(
        is(edit.make_file(file, "x", node_kind::file, {}, content(2)), edit_refusal::not_a_dir));
    CAF_CHECK(
        is(edit.make_file(99, "x", node_kind::file, {}, content(2)), edit_refusal::no_such_node));
    for (auto name : {"", ".", "..", "a/b"})
      CAF_CHECK(is(edit.make_dir(root_lid, name), edit_refusal::bad_name));
    CAF_CHECK(is(edit.make_dir(root_lid, "f"), edit_refusal::name_taken));
    CAF_CHECK(is(edit.move(dir, dir, "x"), edit_refusal::into_itself));
    CAF_CHECK(is(edit.move(dir, root_lid, "f"), edit_refusal::name_taken));
    CAF_CHECK(is(edit.move(root_lid, dir, "x"), edit_refusal::is_root));
    CAF_CHECK(is(edit.remove(root_lid), edit_refusal::is_root));
    CAF_CHECK(is(edit.edit(dir, {}, {}, content(3)), edit_refusal::not_a_file));
    CAF_CHECK(is(edit.restore_version(file, {1, 2, 3}), edit_refusal::no_such_version));
    CAF_CHECK(is(edit.restore_deleted(file), edit_refusal::no_such_node));
    CAF_CHECK(is(edit.put_back_as_two(file), edit_refusal::no_such_node));
  });
}

CAF_TEST(a_restored_version_is_current_again_and_nothing_is_lost) {
  alone one;
  stamp first;
  one.act([&](space_edit& edit) {
    first = std::get<0>(edit.make_file(root_lid, "f", node_kind::file, {}, content(1))).vid;
  });
  one.act([&](space_edit& edit) { edit.edit(one.lid("f"), {}, {}, content(2)); });
  one.act([&](space_edit& edit) { edit.restore_version(one.lid("f"), first); });
  auto history = space_tree(one.rows).history(one.lid("f"));
  CAF_REQUIRE_EQUAL(history.size(), 3u);
  CAF_CHECK(history[2].current && history[2].cid == content(1).cid);
  CAF_CHECK(history[1].cid == content(2).cid);
}

CAF_TEST(only_what_was_seen_is_removed) {
  alone one;
  stamp seen;
  one.act([&](space_edit& edit) {
    seen = std::get<0>(edit.make_file(root_lid, "f", node_kind::file, {}, content(1))).vid;
    edit.make_file(root_lid, "g", node_kind::file, {}, content(2));
  });
  one.act([&](space_edit& edit) { edit.edit(one.lid("f"), {}, {}, content(3)); });
  one.act([&](space_edit& edit) {
    std::vector<seen_item> items{{one.lid("f"), seen}, {one.lid("g"), {}}};
    CAF_CHECK(edit.remove_seen(items) == std::vector{one.lid("f")});
  });
  CAF_CHECK(one.lid("f") != 0);
  CAF_CHECK(one.lid("g") == 0);
}

CAF_TEST(rewind_brings_back_names_contents_and_the_deleted) {
  for (bool newer : {false, true}) {
    alone one;
    one.act([&](space_edit& edit) {
      auto dir = std::get<0>(edit.make_dir(root_lid, "d")).lid;
      auto inner = std::get<0>(edit.make_dir(dir, "e")).lid;
      edit.make_file(inner, "f", node_kind::file, {}, content(1));
      edit.make_file(root_lid, "g", node_kind::file, {}, content(2));
    });
    auto then = tree_of(one.rows);
    auto time = one.hlc;
    one.act([&](space_edit& edit) { edit.move(one.lid("d/e"), root_lid, "e"); });
    one.act([&](space_edit& edit) { edit.move(one.lid("d"), one.lid("e"), "d"); }); // inside out
    one.act([&](space_edit& edit) { edit.edit(one.lid("e/f"), {}, {}, content(3)); });
    one.act([&](space_edit& edit) { edit.remove(one.lid("g")); });
    one.act([&](space_edit& edit) {
      edit.make_file(root_lid, "new", node_kind::file, {}, content(4));
    });
    one.act([&](space_edit& edit) { CAF_CHECK(edit.rewind(root_lid, time, newer) > 0); });
    auto now = tree_of(one.rows);
    if (!newer)
      CAF_CHECK_EQUAL(now.erase("new"), 1u);
    CAF_CHECK(now == then);
  }
}

CAF_TEST(names_that_are_taken_get_a_number) {
  alone one;
  one.act([&](space_edit& edit) {
    for (auto name : {"a.txt", "a (2).txt", "b"})
      edit.make_file(root_lid, name, node_kind::file, {}, content(1));
  });
  space_tree tree(one.rows);
  CAF_CHECK_EQUAL(free_name(tree, root_lid, "a.txt"), "a (3).txt");
  CAF_CHECK_EQUAL(free_name(tree, root_lid, "b", "restored"), "b (restored)");
  CAF_CHECK_EQUAL(free_name(tree, root_lid, ".rc"), ".rc (2)");
  auto longest = free_name(tree, root_lid, std::string(254, 'x') + "\xC3\xA9");
  CAF_CHECK(longest.size() <= name_bytes_max);
  CAF_CHECK(is_lawful_name(longest));
}

CAF_TEST(settings_of_the_space_are_last_writer_wins) {
  alone one;
  one.act([&](space_edit& edit) { edit.policy({{"trash_days", 30}}); });
  one.act([&](space_edit& edit) { edit.policy({{"trash_days", 10}, {"quota", 5}}); });
  CAF_CHECK_EQUAL(policy_value(one.rows, "trash_days").value_or(0), 10u);
  CAF_CHECK(!policy_value(one.rows, "other"));
}
