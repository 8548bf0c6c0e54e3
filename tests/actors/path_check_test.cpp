// Paths: what is refused, what passes byte for byte, and what it may mean to an app (quality.md
// H06; FS6, FS8; X20-X22).
#define CAF_SUITE path_check
#include "actors/path_check.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

constexpr auto no_fault = path_fault::none;

struct fault_row {
  std::string_view path;
  path_fault expected;
};

void check_faults(std::initializer_list<fault_row> rows) {
  for (const auto& row : rows) {
    if (check_path(row.path) != row.expected)
      CAF_ERROR(row.path << " gave: " << to_string(check_path(row.path)));
    CAF_CHECK(check_path(row.path) == row.expected);
  }
}

} // namespace

CAF_TEST(refuses_dot_dot_segments) {
  auto bad = path_fault::dot_dot;
  check_faults({
      {"..", bad},
      {"/..", bad},
      {"../x", bad},
      {"/exapps/app/..", bad},
      {"/exapps/app/../x", bad},
      {"/exapps/app/..%2fx", bad},
      {"/exapps/app/..%2Fx", bad},
      {"/exapps/app/%2e%2e/", bad},
      {"/exapps/app/%2e%2E/", bad},
      {"/exapps/app/%2E%2e", bad},
      {"/exapps/app/.%2E", bad},
      {"/exapps/app/%2e.", bad},
      {"/exapps/app/.%2e/x", bad},
      {"/exapps/app%2f..%2fx", bad},
      {"/exapps/app/x%2f..", bad},
      {"/exapps/app/%2f%2e%2e%2f", bad},
      {"/exapps/app_api/../a", bad},
      {"/exapps/../etc", bad},
      {"%2e%2e", bad},
  });
}

CAF_TEST(refuses_dot_dot_with_parameters) {
  auto bad = path_fault::dot_dot;
  check_faults({
      {"/exapps/app/..;/x", bad},
      {"/exapps/app/..;", bad},
      {"/exapps/app/..;v=1/x", bad},
      {"/exapps/app/%2e%2e;a", bad},
      {"/exapps/app/..%3bx/y", bad},
      {"/exapps/app/..%3B/y", bad},
  });
}

CAF_TEST(refuses_double_encoding_of_what_is_refused) {
  check_faults({
      {"/exapps/app/%252e%252e/x", path_fault::dot_dot},
      {"/exapps/app/%252E%252e", path_fault::dot_dot},
      {"/exapps/app/.%252e/x", path_fault::dot_dot},
      {"/exapps/app/..%252fx", path_fault::dot_dot},
      {"/exapps/app/%2e%252e%2fx", path_fault::dot_dot},
      {"/exapps/app/%25%32%65%252e/", path_fault::dot_dot},
      {"/exapps/app/%255c", path_fault::backslash},
      {"/exapps/app/%2500", path_fault::nul},
  });
}

CAF_TEST(refuses_backslash_nul_and_broken_escapes) {
  using std::string_view_literals::operator""sv;
  check_faults({
      {"/exapps/app/a\\b", path_fault::backslash},
      {"/exapps/app/..\\b", path_fault::backslash},
      {"/exapps/app/a%5cb", path_fault::backslash},
      {"/exapps/app/a%5Cb", path_fault::backslash},
      {"/exapps/app/..%5c..%5cb", path_fault::backslash},
      {"/exapps/app/a\0b"sv, path_fault::nul},
      {"/exapps/app/a%00b", path_fault::nul},
      {"/exapps/app/%zz", path_fault::broken_escape},
      {"/exapps/app/%", path_fault::broken_escape},
      {"/exapps/app/%2", path_fault::broken_escape},
      {"/exapps/app/%2/", path_fault::broken_escape},
      {"/exapps/app/%%32e", path_fault::broken_escape},
      {"/exapps/app/%u002e%u002e", path_fault::broken_escape},
      {"/exapps/app/% 2e", path_fault::broken_escape},
      {"/exapps/app/%-1", path_fault::broken_escape},
      {"/exapps/app/%+2", path_fault::broken_escape},
      {"/exapps/app/%0x", path_fault::broken_escape},
  });
}

CAF_TEST(passes_lawful_paths) {
  check_faults({
      {"", no_fault},
      {"/", no_fault},
      {"/exapps/app", no_fault},
      {"/exapps/app/..a", no_fault},
      {"/exapps/app/a..", no_fault},
      {"/exapps/app/a../b", no_fault},
      {"/exapps/app/...", no_fault},
      {"/exapps/app/..../x", no_fault},
      {"/exapps/app/.", no_fault},
      {"/exapps/app/./x", no_fault},
      {"/exapps/app/.hidden", no_fault},
      {"/exapps/app/a%2fb", no_fault},
      {"/exapps/app/a%2Fb", no_fault},
      {"/exapps/app//b", no_fault},
      {"/exapps/app/b;v=1", no_fault},
      {"/exapps/app/b;v=1;w=..", no_fault},
      {"/exapps/app/;..", no_fault},
      {"/exapps/app/a%20b//c", no_fault},
      {"/exapps/app/100%25", no_fault},
      {"/exapps/app/100%25%20sure", no_fault},
      {"/exapps/app/%2541", no_fault},
      {"/exapps/app/%c3%a9", no_fault},
      {"/exapps/app/%2e%2e%2e", no_fault},
      {"/exapps/app/%2e", no_fault},
  });
}

CAF_TEST(splits_app_and_target_byte_for_byte) {
  struct row {
    std::string_view path, app_id, target;
  };
  for (const auto& [path, app_id, target] : std::initializer_list<row>{
           {"/exapps/app", "app", "/"},
           {"/exapps/app/", "app", "/"},
           {"/exapps/app//", "app", "//"},
           {"/exapps/app/a%20b//c", "app", "/a%20b//c"},
           {"/exapps/app/x%2fy;v=1", "app", "/x%2fy;v=1"},
           {"/exapps/Test-Deploy_2.0/x", "Test-Deploy_2.0", "/x"},
           {"/exapps/app_api/docker/x", "app_api", "/docker/x"},
           {"/exapps/app/exapps/other/x", "app", "/exapps/other/x"},
           {"/exapps/app/./x", "app", "/./x"},
       }) {
    auto split = split_app(path);
    CAF_REQUIRE(split.has_value());
    CAF_CHECK_EQUAL(split->app_id, app_id);
    CAF_CHECK_EQUAL(split->target, target);
  }
}

CAF_TEST(finds_no_app_without_the_exact_prefix) {
  for (std::string_view path : {"",
                                "/",
                                "*",
                                "/exapps",
                                "/exapps/",
                                "/exapps//x",
                                "/exapps//app/x",
                                "exapps/app/x",
                                "//exapps/app/x",
                                "/x/exapps/app/y",
                                "/Exapps/app/x",
                                "/EXAPPS/app",
                                "/%65xapps/app/x",
                                "/exapps%2fapp/x",
                                "/./exapps/app/x",
                                "/exapps/./x",
                                "/exapps/.",
                                "/exapps/%61pp/x",
                                "/exapps/app%2fx",
                                "/exapps/a;b/x",
                                "/exapps/a%00/x",
                                "/exapps/a:b/x",
                                "/exapps/a@b/x",
                                "/exapps/a+b/x",
                                "/exapps/a~/x"}) {
    if (split_app(path))
      CAF_ERROR("found an app in " << path);
    CAF_CHECK(!split_app(path));
  }
  std::string longest(app_id_bytes_max, 'a');
  CAF_CHECK(split_app("/exapps/" + longest + "/x").has_value());
  CAF_CHECK(!split_app("/exapps/" + longest + "a/x"));
}

CAF_TEST(lowers_ascii_only) {
  CAF_CHECK_EQUAL(lower_app_id("Test_APP-9.Z"), "test_app-9.z");
  CAF_CHECK_EQUAL(lower_app_id("@[`{"), "@[`{");
}

CAF_TEST(builds_the_decoded_form) {
  struct row {
    std::string_view target, form;
  };
  for (const auto& [target, form] : std::initializer_list<row>{
           {"/", "/"},
           {"//", "/"},
           {"/a//b///c", "/a/b/c"},
           {"/./a/./b/.", "/a/b/"},
           {"/%2e/a", "/a"},
           {"/a%2fb", "/a/b"},
           {"/a%2F%2fb/", "/a/b/"},
           {"/%61dmin", "/admin"},
           {"/a%20b", "/a b"},
           {"/%2561", "/%61"},
           {"/a;v=1/b", "/a;v=1/b"},
           {"/.a/b.", "/.a/b."},
           {"/100%25", "/100%"},
       })
    CAF_CHECK_EQUAL(decoded_form(target), form);
}

CAF_TEST(knows_which_targets_have_one_reading) {
  for (std::string_view target : {"/", "/a", "/a/b/", "/.a/a./..b", "/a.b/c..", "/init"})
    CAF_CHECK(is_plain_target(target));
  for (std::string_view target :
       {"//", "/a//b", "/a/.", "/./a", "/a/./b", "/%61", "/a;v", "/.", "/a//"})
    CAF_CHECK(!is_plain_target(target));
}

CAF_TEST(plain_targets_equal_their_decoded_form) {
  for (std::string_view target : {"/", "/a", "/a/b/", "/.a/a./..b", "/a.b/c..", "/init"})
    CAF_CHECK_EQUAL(decoded_form(target), target);
}

CAF_TEST(cuts_parameters_in_both_orders) {
  CAF_CHECK(parameter_free_forms("/a/b%20c").empty());
  auto forms = parameter_free_forms("/x;a%2fb/c");
  CAF_REQUIRE_EQUAL(forms.size(), 2u);
  CAF_CHECK_EQUAL(forms[0], "/x/c");
  CAF_CHECK_EQUAL(forms[1], "/x/b/c");
}

CAF_TEST(recognises_internal_end_points_in_any_form) {
  for (std::string_view target :
       {"/init",      "/heartbeat", "/enabled", "/init/",       "//init",         "/init//",
        "//init//",   "/./init",    "/init/.",  "/./enabled/",  "/%69nit",        "/ini%74",
        "/%2finit",   "%2finit",    "/init%2f", "/%2e/init",    "/%68%65artbeat", "/enable%64/",
        "/init;v=1",  "/init;",     "/;/init",  "/;x/init",     "/init%3bx",      "/init;a%2fb",
        "/;a%2finit", "/.;x/init",  "/init/;x", "/enabled;a/;b"}) {
    if (!is_internal_target(target))
      CAF_ERROR("not seen as internal: " << target);
    CAF_CHECK(is_internal_target(target));
  }
}

CAF_TEST(leaves_other_targets_alone) {
  for (std::string_view target :
       {"/", "/initial", "/ini", "/init/x", "/x/init", "/a%2finit", "/heartbeats", "/enabled/1",
        "/init.", "/.init", "/init%20", "/x;/init", "/initx;v", "/%2569nit"})
    CAF_CHECK(!is_internal_target(target));
}

CAF_TEST(names_every_fault) {
  for (auto fault : {path_fault::none, path_fault::dot_dot, path_fault::backslash, path_fault::nul,
                     path_fault::broken_escape})
    CAF_CHECK(std::string_view{to_string(fault)}.size() > 5);
}
