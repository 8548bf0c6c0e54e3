// Two people and two listeners: a case of storage.md 4.5 played in both orders, with who was told what.
#pragma once

#include "storage/state_root.hpp"
#include "tests/storage/space_play.hpp"

#include <caf/test/unit_test.hpp>

namespace harp::intention {

using play::content;

/// Ann is replica 1, Bob replica 2; replica 3 hears Ann first, replica 4 Bob. `ann_later`: whose stamp is greater.
struct trio : play::world {
  explicit trio(bool later)
      : play::world(7, {4, 0, false, false, false, false}), ann_later(later) {}

  bool ann_later;

  using intent = std::function<void(space_edit&, space_tree&)>;
  void one(size_t n, const intent& what) {
    tick(5);
    act(n, [&](space_edit& edit) {
      space_tree tree(at(n).rows);
      what(edit, tree);
    });
  }
  void agreed(const intent& what) {
    one(0, what);
    deliver_all();
  }
  /// Both act without having seen the other; then everybody gets everything.
  void concurrent(const intent& ann, const intent& bob) {
    for (size_t n = 0; n < 4; ++n)
      at(n).rows.erase_notices();
    one(ann_later ? 1 : 0, ann_later ? bob : ann);
    one(ann_later ? 0 : 1, ann_later ? ann : bob);
    deliver_from(2, 1);
    deliver_from(3, 2);
    for (size_t n = 0; n < 4; ++n)
      deliver(n);
    for (size_t n = 0; n < 4; ++n) {
      CAF_CHECK_EQUAL(check(n, true), "");
      CAF_CHECK(state_root(at(n).rows) == state_root(at(0).rows));
    }
    CAF_CHECK_EQUAL(told(2) + told(3), ""); // they wished for nothing
  }
  std::string paths() {
    std::string out;
    for (const auto& [path, line] : play::view_of(at(0).rows))
      if (!path.empty() && path[0] == '/')
        out += path + " ";
    return out;
  }
  std::string trash() {
    std::string out;
    for (const auto& entry : space_tree(at(0).rows).trash(UINT64_MAX, 100))
      out += entry.path + " ";
    return out;
  }
  /// "<code>:<path>[:<fourth argument>] " of each notice, oldest first.
  std::string told(size_t n) {
    std::string out;
    auto notices = at(n).rows.notices(100);
    for (auto it = notices.rbegin(); it != notices.rend(); ++it) {
      out += std::to_string(static_cast<int>(it->code)) + ":" + it->arguments[0];
      if (it->arguments.size() > 3)
        out += ":" + it->arguments[3];
      out += " ";
    }
    return out;
  }
  std::vector<history_entry> history(const std::string& path) {
    space_tree tree(at(0).rows);
    auto found = tree.resolve(path);
    return found ? tree.history(found->entry.lid) : std::vector<history_entry>{};
  }
  content_id current(const std::string& path) {
    auto found = space_tree(at(0).rows).resolve(path);
    return found ? found->entry.cid : content_id{};
  }
};

inline std::string code(notice_code c) {
  return std::to_string(static_cast<int>(c));
}

inline local_id lid_of(space_tree& tree, const std::string& path) {
  auto found = tree.resolve(path);
  return found ? found->entry.lid : 0;
}

inline trio::intent make(const std::string& dir, const std::string& name, uint64_t n) {
  return [=](space_edit& edit, space_tree& tree) {
    auto done = edit.make_file(lid_of(tree, dir), name, node_kind::file, {}, content(n));
    CAF_REQUIRE_EQUAL(done.index(), 0u);
  };
}
inline trio::intent make_dir(const std::string& dir, const std::string& name) {
  return [=](space_edit& edit, space_tree& tree) {
    CAF_REQUIRE_EQUAL(edit.make_dir(lid_of(tree, dir), name).index(), 0u);
  };
}
inline trio::intent change(const std::string& path, uint64_t n) {
  return [=](space_edit& edit, space_tree& tree) {
    CAF_REQUIRE_EQUAL(edit.edit(lid_of(tree, path), {}, {}, content(n)).index(), 0u);
  };
}
inline trio::intent move(const std::string& path, const std::string& dir, const std::string& name) {
  return [=](space_edit& edit, space_tree& tree) {
    auto done = edit.move(lid_of(tree, path), lid_of(tree, dir), name);
    CAF_REQUIRE_EQUAL(done.index(), 0u);
  };
}
inline trio::intent erase(const std::string& path) {
  return [=](space_edit& edit, space_tree& tree) {
    CAF_REQUIRE_EQUAL(edit.remove(lid_of(tree, path)).index(), 0u);
  };
}
inline trio::intent adopt(const std::string& name, int64_t mtime, uint64_t n) {
  return [=](space_edit& edit, space_tree&) {
    node_meta meta;
    meta.mtime_ns = mtime;
    CAF_REQUIRE_EQUAL(edit.adopt_file(root_lid, name, meta, content(n)).index(), 0u);
  };
}

} // namespace harp::intention
