// Every row of the table of collisions (storage.md 4.5) about files, in both orders, with who is told what.
#define CAF_SUITE intention
#include "tests/storage/intention.hpp"

using namespace harp;
using namespace harp::intention;

CAF_TEST(edit_and_edit_keep_both_and_tell_the_overtaken) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make("", "f", 1));
    t.concurrent(change("f", 2), change("f", 3));
    CAF_CHECK_EQUAL(t.paths(), "/f ");
    CAF_CHECK(t.current("f") == content(later ? 2 : 3).cid);
    auto history = t.history("f");
    CAF_REQUIRE_EQUAL(history.size(), 3u);
    CAF_CHECK((history[1].flags & version_overtaken) != 0);
    CAF_CHECK(history[1].overtaken_by == history[2].vid);
    CAF_CHECK((history[0].flags & version_overtaken) == 0);
    CAF_CHECK_EQUAL(t.told(later ? 1 : 0), code(notice_code::edit_overtaken) + ":f ");
    CAF_CHECK_EQUAL(t.told(later ? 0 : 1), "");
  }
}

CAF_TEST(edit_and_delete_keep_the_edit_and_tell_the_deleter) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make("", "f", 1));
    t.concurrent(change("f", 2), erase("f"));
    CAF_CHECK_EQUAL(t.paths(), "/f ");
    CAF_CHECK(t.current("f") == content(2).cid);
    CAF_CHECK_EQUAL(t.told(0), "");
    CAF_CHECK_EQUAL(t.told(1), code(notice_code::kept_after_delete) + ":f ");
  }
}

CAF_TEST(delete_after_the_edit_was_seen_goes_to_trash) {
  trio t(false);
  t.agreed(make("", "f", 1));
  t.one(0, change("f", 2));
  t.deliver_all();
  t.one(1, erase("f"));
  t.deliver_all();
  CAF_CHECK_EQUAL(t.paths(), "");
  CAF_CHECK_EQUAL(t.trash(), "f ");
  CAF_CHECK_EQUAL(t.told(0) + t.told(1), "");
  t.one(0, [](space_edit& edit, space_tree& tree) {
    CAF_CHECK_EQUAL(edit.restore_deleted(tree.in_trash("f")->lid).index(), 0u);
  });
  t.deliver_all();
  CAF_CHECK_EQUAL(t.paths(), "/f ");
  CAF_CHECK_EQUAL(t.history("f").size(), 2u);
}

CAF_TEST(rename_and_edit_both_hold) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make("", "f", 1));
    t.concurrent(move("f", "", "g"), change("f", 2));
    CAF_CHECK_EQUAL(t.paths(), "/g ");
    CAF_CHECK(t.current("g") == content(2).cid);
    CAF_CHECK_EQUAL(t.told(0) + t.told(1), "");
  }
}

CAF_TEST(rename_and_rename_take_the_later_and_tell_the_other) {
  for (bool later : {false, true})
    for (bool dir : {false, true}) {
      trio t(later);
      t.agreed(dir ? make_dir("", "f") : make("", "f", 1));
      t.concurrent(move("f", "", "ann"), move("f", "", "bob"));
      CAF_CHECK_EQUAL(t.paths(), later ? "/ann " : "/bob ");
      CAF_CHECK_EQUAL(t.told(later ? 1 : 0),
                      code(notice_code::move_overtaken) + (later ? ":ann:bob " : ":bob:ann "));
      CAF_CHECK_EQUAL(t.told(later ? 0 : 1), "");
    }
}

CAF_TEST(move_and_delete_of_a_file_keep_it_at_the_new_place) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make("", "f", 1));
    t.concurrent(move("f", "", "g"), erase("f"));
    CAF_CHECK_EQUAL(t.paths(), "/g ");
    CAF_CHECK_EQUAL(t.told(0), "");
    CAF_CHECK_EQUAL(t.told(1), code(notice_code::kept_after_delete) + ":g ");
  }
}

CAF_TEST(create_and_create_are_one_file_that_can_be_two_again) {
  for (bool later : {false, true}) {
    trio t(later);
    t.concurrent(make("", "n", 1), make("", "n", 2));
    CAF_CHECK_EQUAL(t.paths(), "/n ");
    CAF_CHECK(t.current("n") == content(later ? 1 : 2).cid);
    CAF_CHECK_EQUAL(t.history("n").size(), 2u);
    for (size_t n : {0, 1})
      CAF_CHECK_EQUAL(t.told(n), code(notice_code::files_joined) + ":n ");
    t.one(0, [](space_edit& edit, space_tree& tree) {
      CAF_CHECK_EQUAL(edit.put_back_as_two(lid_of(tree, "n")).index(), 0u);
    });
    t.deliver_all();
    CAF_CHECK_EQUAL(t.paths(), "/n /n (2) ");
    CAF_CHECK(t.current("n") == content(later ? 1 : 2).cid);
    CAF_CHECK(t.current("n (2)") == content(later ? 2 : 1).cid);
  }
}

CAF_TEST(an_edit_of_a_joined_file_stays_in_one_history) {
  trio t(false);
  t.concurrent(make("", "n", 1), make("", "n", 2));
  t.one(1, change("n", 3));
  t.one(0, move("n", "", "m"));
  t.deliver_all();
  CAF_CHECK_EQUAL(t.paths(), "/m ");
  CAF_CHECK(t.current("m") == content(3).cid);
  CAF_CHECK_EQUAL(t.history("m").size(), 3u);
}

CAF_TEST(rename_onto_a_name_that_is_created_is_one_file) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make("", "a", 1));
    t.concurrent(move("a", "", "n"), make("", "n", 2));
    CAF_CHECK_EQUAL(t.paths(), "/n ");
    CAF_CHECK(t.current("n") == content(later ? 1 : 2).cid); // arrival counts
    for (size_t n : {0, 1})
      CAF_CHECK_EQUAL(t.told(n), code(notice_code::files_joined) + ":n ");
  }
}

CAF_TEST(two_files_renamed_to_one_name_are_one_file) {
  for (bool later : {false, true}) {
    trio t(later);
    t.agreed(make("", "a", 1));
    t.agreed(make("", "b", 2));
    t.concurrent(move("a", "", "n"), move("b", "", "n"));
    CAF_CHECK_EQUAL(t.paths(), "/n ");
    CAF_CHECK(t.current("n") == content(later ? 1 : 2).cid);
    for (size_t n : {0, 1})
      CAF_CHECK_EQUAL(t.told(n), code(notice_code::files_joined) + ":n ");
  }
}

CAF_TEST(overwriting_is_a_new_version_of_the_target) {
  trio t(false);
  t.agreed(make("", "f", 1));
  t.agreed([](space_edit& edit, space_tree&) {
    CAF_CHECK_EQUAL(edit.put_file(root_lid, "f", {}, content(2)).index(), 0u);
  });
  CAF_CHECK_EQUAL(t.history("f").size(), 2u);
  CAF_CHECK(t.current("f") == content(2).cid);
  CAF_CHECK_EQUAL(t.trash(), "");
}
