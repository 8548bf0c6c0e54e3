// Every row of the table of collisions (storage.md 4.5) about folders, names, pairing and cuts, in both orders.
#define CAF_SUITE intention_dirs
#include "tests/storage/intention.hpp"

using namespace harp;
using namespace harp::intention;

CAF_TEST(mkdir_and_mkdir_are_one_folder) {
  for (bool later : {false, true}) {
    trio t(later);
    t.concurrent(
        [](space_edit& edit, space_tree& tree) {
          make_dir("", "d")(edit, tree);
          make("d", "a", 1)(edit, tree);
        },
        [](space_edit& edit, space_tree& tree) {
          make_dir("", "d")(edit, tree);
          make("d", "b", 2)(edit, tree);
        });
    CAF_CHECK_EQUAL(t.paths(), "/d /d/a /d/b ");
    CAF_CHECK_EQUAL(t.told(0) + t.told(1), "");
    CAF_CHECK_EQUAL(space_tree(t.at(0).rows).resolve("d")->members.size(), 1u);
  }
}

CAF_TEST(rename_of_a_folder_onto_a_new_one_is_their_union) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make_dir("", "a"));
    t.agreed(make("a", "x", 1));
    t.concurrent(move("a", "", "n"), [](space_edit& edit, space_tree& tree) {
      make_dir("", "n")(edit, tree);
      make("n", "y", 2)(edit, tree);
    });
    CAF_CHECK_EQUAL(t.paths(), "/n /n/x /n/y ");
    CAF_CHECK_EQUAL(space_tree(t.at(0).rows).resolve("n")->members.size(), 2u);
    CAF_CHECK_EQUAL(t.told(0) + t.told(1), "");
    // all members go together
    t.one(0, move("n", "", "m"));
    t.deliver_all();
    CAF_CHECK_EQUAL(t.paths(), "/m /m/x /m/y ");
    t.one(1, erase("m"));
    t.deliver_all();
    CAF_CHECK_EQUAL(t.paths(), "");
  }
}

CAF_TEST(files_that_meet_in_a_union_are_told) {
  trio t(false);
  t.agreed(make_dir("", "a"));
  t.agreed(make("a", "x", 1));
  t.concurrent(move("a", "", "n"), [](space_edit& edit, space_tree& tree) {
    make_dir("", "n")(edit, tree);
    make("n", "x", 2)(edit, tree);
  });
  CAF_CHECK_EQUAL(t.paths(), "/n /n/x ");
  CAF_CHECK_EQUAL(t.history("n/x").size(), 2u);
  CAF_CHECK_EQUAL(t.told(0), code(notice_code::files_joined) + ":n/x ");
  CAF_CHECK_EQUAL(t.told(1), code(notice_code::files_joined) + ":n/x ");
}

CAF_TEST(folders_moved_into_each_other_stay_a_tree) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make_dir("", "x"));
    t.agreed(make_dir("", "y"));
    t.concurrent(move("x", "y", "x"), move("y", "x", "y"));
    CAF_CHECK_EQUAL(t.paths(), later ? "/x /x/y " : "/y /y/x ");
    CAF_CHECK_EQUAL(t.told(later ? 0 : 1),
                    code(notice_code::move_without_effect) + (later ? ":x:x/y " : ":y:y/x "));
    CAF_CHECK_EQUAL(t.told(later ? 1 : 0), "");
  }
}

CAF_TEST(rmdir_tree_and_create_inside_keep_only_what_the_survivor_needs) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make_dir("", "d"));
    t.agreed(make("d", "old", 1));
    t.agreed(make_dir("d", "e"));
    t.concurrent(erase("d"), make("d/e", "new", 2));
    CAF_CHECK_EQUAL(t.paths(), "/d /d/e /d/e/new ");
    CAF_CHECK(t.trash().find("d/old ") != std::string::npos);
    CAF_CHECK_EQUAL(t.told(0), code(notice_code::kept_after_delete) + ":d ");
    CAF_CHECK_EQUAL(t.told(1), "");
    // the folders go with the survivor
    t.one(1, erase("d/e/new"));
    t.deliver_all();
    CAF_CHECK_EQUAL(t.paths(), "");
  }
}

CAF_TEST(rmdir_tree_and_edit_inside_keep_the_edit) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make_dir("", "d"));
    t.agreed(make("d", "f", 1));
    t.agreed(make("d", "g", 2));
    t.concurrent(erase("d"), change("d/f", 3));
    CAF_CHECK_EQUAL(t.paths(), "/d /d/f ");
    CAF_CHECK_EQUAL(t.told(0), code(notice_code::kept_after_delete) + ":d/f ");
    CAF_CHECK_EQUAL(t.told(1), "");
  }
}

CAF_TEST(rmdir_tree_and_move_inside_keep_the_moved) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make_dir("", "d"));
    t.agreed(make("", "f", 1));
    t.concurrent(erase("d"), move("f", "d", "f"));
    CAF_CHECK_EQUAL(t.paths(), "/d /d/f ");
    CAF_CHECK_EQUAL(t.told(0), code(notice_code::kept_after_delete) + ":d ");
  }
}

CAF_TEST(rename_of_a_folder_and_delete_of_its_tree_tell_both) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make_dir("", "d"));
    t.agreed(make("d", "a", 1));
    t.agreed(make("d", "b", 2));
    t.concurrent(move("d", "", "e"), erase("d"));
    CAF_CHECK_EQUAL(t.paths(), "/e ");
    CAF_CHECK(t.trash().find("e/a ") != std::string::npos);
    for (size_t n : {0, 1})
      CAF_CHECK_EQUAL(t.told(n), code(notice_code::folder_kept) + ":e:2 ");
    t.one(0, [](space_edit& edit, space_tree& tree) { // the one click
      for (const auto& entry : tree.trash_below(lid_of(tree, "e"), 100))
        edit.restore_deleted(entry.lid);
    });
    t.deliver_all();
    CAF_CHECK_EQUAL(t.paths(), "/e /e/a /e/b ");
  }
}

CAF_TEST(delete_and_delete_is_deleted) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make("", "f", 1));
    t.concurrent(erase("f"), erase("f"));
    CAF_CHECK_EQUAL(t.paths(), "");
    CAF_CHECK_EQUAL(t.trash(), "f ");
    CAF_CHECK_EQUAL(t.told(0) + t.told(1), "");
  }
}

CAF_TEST(file_and_folder_of_one_name_show_both) {
  for (bool later : {false, true}) {
    trio t(later);
    t.concurrent(make("", "n", 1), make_dir("", "n"));
    auto nid = made_node_id({1, 1}, 0);
    CAF_CHECK_EQUAL(t.paths(), "/n /" + alias_name("n", nid) + " ");
    CAF_CHECK_EQUAL(t.told(0), code(notice_code::name_taken_by_dir) + ":" + alias_name("n", nid)
                                   + ":" + alias_name("n", nid) + " ");
    CAF_CHECK_EQUAL(t.told(1), "");
    t.one(0, move(alias_name("n", nid), "", "m"));
    t.deliver_all();
    CAF_CHECK_EQUAL(t.paths(), "/m /n ");
  }
}

CAF_TEST(paired_trees_are_one_file_newest_by_mtime) {
  for (bool later : {false, true}) {
    trio t(later);
    t.concurrent(adopt("f", 100, 1), adopt("f", 50, 2));
    CAF_CHECK_EQUAL(t.paths(), "/f ");
    CAF_CHECK(t.current("f") == content(1).cid);
    CAF_CHECK_EQUAL(t.history("f").size(), 2u);
    trio same(later);
    same.concurrent(adopt("f", 100, 1), adopt("f", 50, 1));
    CAF_CHECK_EQUAL(same.history("f").size(), 1u);
    // an edit comes behind all of them, whatever its clock
    t.one(1, change("f", 3));
    t.deliver_all();
    CAF_CHECK(t.current("f") == content(3).cid);
    CAF_CHECK_EQUAL(t.told(0) + t.told(1), "");
  }
}

CAF_TEST(recreate_after_delete_makes_a_new_file_and_the_same_folder) {
  trio t(false);
  t.agreed(make_dir("", "d"));
  t.agreed(make("d", "f", 1));
  auto dir = space_tree(t.at(0).rows).resolve("d")->entry.lid;
  t.agreed(erase("d"));
  t.agreed(make_dir("", "d"));
  CAF_CHECK_EQUAL(t.paths(), "/d ");
  CAF_CHECK(space_tree(t.at(0).rows).resolve("d")->entry.lid == dir);
  CAF_CHECK_EQUAL(t.trash(), "d/f ");
  t.agreed(make("d", "f", 2));
  CAF_CHECK_EQUAL(t.history("d/f").size(), 1u);
  t.agreed([](space_edit& edit, space_tree& tree) { // the old one comes back beside it
    CAF_CHECK_EQUAL(edit.restore_deleted(tree.in_trash("d/f")->lid).index(), 0u);
  });
  CAF_CHECK_EQUAL(t.paths(), "/d /d/f /d/f (restored) ");
}

CAF_TEST(a_folder_made_where_another_was_moved_away_is_another) {
  trio t(false);
  t.agreed(make_dir("", "d"));
  t.agreed(make("d", "f", 1));
  t.agreed(move("d", "", "e"));
  t.agreed(make_dir("", "d"));
  CAF_CHECK_EQUAL(t.paths(), "/d /e /e/f ");
  t.agreed(move("e", "d", "e"));
  CAF_CHECK_EQUAL(t.paths(), "/d /d/e /d/e/f ");
}

CAF_TEST(cut_work_is_void_everywhere_and_its_author_told) {
  trio t(false);
  t.agreed(make("", "f", 1));
  t.one(1, make("", "g", 2)); // never reaches the keeper
  t.deliver(0);
  CAF_CHECK_EQUAL(t.paths(), "/f /g ");
  t.one(0, change("g", 3)); // built on what is about to be cut
  t.cut(2, 0);
  auto heard = t.hear_cuts(0);
  t.deliver_all();
  for (size_t n = 0; n < 3; ++n)
    CAF_CHECK_EQUAL(t.check(n, true), "");
  CAF_CHECK_EQUAL(t.paths(), "/f ");
  CAF_CHECK_EQUAL(t.told(0), code(notice_code::voided) + ":g ");
}
