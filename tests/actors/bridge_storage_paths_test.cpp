// Paths, times and versions as people write them: what is understood, what is refused, that what is printed is read back.
#define CAF_SUITE bridge_storage_paths
#include "actors/bridge_storage_inside.hpp"
#include "storage/node_store.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

constexpr uint64_t noon = 1'795'435'200'123; // 2026-11-23T12:00:00.123Z

/// A founder's store with the spaces `work` and `deep` in folders.
struct fixture {
  test::scratch_dir dir{true};
  std::shared_ptr<node_store> all;
  std::string work, deep;

  fixture() {
    all = std::get<std::shared_ptr<node_store>>(node_store::open(dir / "state"));
    all->found("n0", "", "ann", noon);
    work = (dir / "folders/work").string();
    deep = (dir / "folders/work-deep").string();
    std::filesystem::create_directories(work);
    std::filesystem::create_directories(deep);
    auto conf = *all->conf();
    conf.spaces.push_back({make("work"), work, keep_mode::full});
    conf.spaces.push_back({make("deep"), deep, keep_mode::full});
    all->save_conf(conf);
  }
  space_id make(const std::string& name) { return std::get<space_store*>(all->create_space(name, "ann", noon))->id(); }

  std::string found(const std::string& path, const std::string& absolute = {}) const {
    auto meant = find_path(*all, json{{"path", path}, {"absolute", absolute}});
    if (auto* failure = std::get_if<call_failure>(&meant))
      return std::to_string(failure->status);
    const auto& [space, inside] = std::get<meant_path>(meant);
    return space->members()->name() + "|" + inside;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(find_path_tests, fixture)

CAF_TEST(finds_a_path_by_the_name_of_its_space) {
  CAF_CHECK_EQUAL(found("work:a/b.txt"), "work|a/b.txt");
  CAF_CHECK_EQUAL(found("work:/a//./b/"), "work|a/b");
  CAF_CHECK_EQUAL(found("work:"), "work|");
  CAF_CHECK_EQUAL(found("work"), "work|");
  CAF_CHECK_EQUAL(found("work:x:y"), "work|x:y");
  CAF_CHECK_EQUAL(found("work:e\xCC\x81"), "work|\xC3\xA9"); // NFC
}

CAF_TEST(finds_a_path_inside_a_folder_and_not_in_one_whose_name_only_begins_alike) {
  CAF_CHECK_EQUAL(found("b.txt", work + "/a/b.txt"), "work|a/b.txt");
  CAF_CHECK_EQUAL(found(".", work), "work|");
  CAF_CHECK_EQUAL(found("c", deep + "/c"), "deep|c");
  CAF_CHECK_EQUAL(found("c", work + "x/c"), "404");
  CAF_CHECK_EQUAL(found("c:d", work + "/c:d"), "work|c:d"); // no space is called c
}

CAF_TEST(refuses_what_is_no_path_of_a_space) {
  CAF_CHECK_EQUAL(found(""), "400");
  CAF_CHECK_EQUAL(found("work:../x"), "400");
  CAF_CHECK_EQUAL(found("work:a/../../x"), "400");
  CAF_CHECK_EQUAL(found("work:\xFF"), "400");
  CAF_CHECK_EQUAL(found("work:" + std::string(256, 'n')), "400");
  CAF_CHECK_EQUAL(found("nothing:x", "/nowhere/x"), "404");
  CAF_CHECK_EQUAL(found("x", "/nowhere/x"), "404");
  CAF_CHECK(std::holds_alternative<call_failure>(find_path(*all, json{{"path", 7}})));
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST(reads_spans_of_time) {
  CAF_CHECK_EQUAL(parse_span_ms("45s").value_or(1), 45'000u);
  CAF_CHECK_EQUAL(parse_span_ms("30m").value_or(1), 1'800'000u);
  CAF_CHECK_EQUAL(parse_span_ms("24h").value_or(1), 86'400'000u);
  CAF_CHECK_EQUAL(parse_span_ms("90d").value_or(1), 7'776'000'000u);
  for (const char* bad : {"", "h", "24", "24 h", "-1h", "1.5h", "1h ", "1w", "18446744073709551615d", "99999999999999999999s"})
    CAF_CHECK(!parse_span_ms(bad));
}

CAF_TEST(reads_times_and_refuses_what_no_calendar_has) {
  constexpr uint64_t second = 1'795'435'200'000;
  CAF_CHECK_EQUAL(parse_time_ms("2026-11-23T12:00:00Z", noon).value_or(1), second);
  CAF_CHECK_EQUAL(parse_time_ms("2026-11-23t12:00:00.1234z", noon).value_or(1), noon);
  CAF_CHECK_EQUAL(parse_time_ms("2026-11-23 13:30:00+01:30", noon).value_or(1), second);
  CAF_CHECK_EQUAL(parse_time_ms("2026-11-23T10:00:00-02:00", noon).value_or(1), second);
  CAF_CHECK_EQUAL(parse_time_ms("2h", noon).value_or(1), noon - 7'200'000);
  for (const char* bad : {"", "now", "2026-11-23", "2026-11-23T12:00:00", "2026-02-30T12:00:00Z", "2026-13-01T00:00:00Z", "2026-11-23T24:00:00Z",
                          "2026-11-23T12:60:00Z", "2026-11-23T12:00:00.Z", "2026-11-23T12:00:00+1:00", "2026-11-23T12:00:00Zx", "1969-12-31T23:00:00Z"})
    CAF_CHECK(!parse_time_ms(bad, noon));
  CAF_CHECK(!parse_time_ms("2h", 1000)); // before the beginning of time
}

CAF_TEST(prints_times_that_it_reads_back) {
  CAF_CHECK_EQUAL(time_text(noon), "2026-11-23T12:00:00.123Z");
  CAF_CHECK_EQUAL(time_text(0), "1970-01-01T00:00:00.000Z");
  CAF_CHECK_EQUAL(time_text(UINT64_MAX), "9999-12-31T23:59:59.999Z");
  for (uint64_t ms : {uint64_t{1}, noon, noon + uint64_t{86'400'000} * 100})
    CAF_CHECK_EQUAL(parse_time_ms(time_text(ms), noon).value_or(0), ms);
}

CAF_TEST(prints_versions_that_it_reads_back) {
  for (const auto& at : {stamp{1, 0, 0}, stamp{noon << 16 | 7, 3, 65535}, stamp{UINT64_MAX, UINT32_MAX, 1}}) {
    auto text = stamp_text(at);
    CAF_CHECK(parse_stamp(text) == at);
    for (size_t cut = 0; cut < text.size() - 1; ++cut) {
      auto part = parse_stamp(std::string_view{text}.substr(0, cut));
      CAF_CHECK(!part || *part != at);
    }
  }
  for (const char* bad : {"", "-", "0-0-0", "x-1-1", "1-1", "1-1-", "1-1-1-", "1-1-65536", "1-4294967296-1", " 1-1-1", "11111111111111111-1-1"})
    CAF_CHECK(!parse_stamp(bad));
}

CAF_TEST(names_the_device_and_the_person_of_an_author) {
  signing_key governor = signing_key::make();
  roster members{space_id{}, governor.public_key()};
  device_key device;
  device.bytes.fill(4);
  members.append_change(roster_add_device{2, device, member_role::writer, "ann", "laptop", 0, false}, noon, governor);
  CAF_CHECK_EQUAL(author_of(members, 2, "").dump(), R"({"device":"laptop","user":"ann"})");
  CAF_CHECK_EQUAL(author_of(members, 2, "bob").dump(), R"({"device":"laptop","user":"bob"})");
  CAF_CHECK_EQUAL(author_of(members, 9, "").dump(), R"({"device":"replica 9"})");
}
