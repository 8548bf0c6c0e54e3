// Floods: 5,000 slow connections, 100,000 random askers, 10 GiB bodies: H10, B03, X28. Only under ./tests/run --long.
#define CAF_SUITE e2e_flood_long
#include "tests/e2e/site.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <sys/resource.h>

using namespace harp::e2e;

namespace {

constexpr uint64_t gib = 1024ULL * 1024 * 1024;

struct fixture : site {
  fixture() : site(settings{{"HP_TRUSTED_PROXY_IPS", "127.0.0.1"}, {"HP_BLACKLIST_COUNT", "10"}}) {
    CAF_REQUIRE(started());
    CAF_REQUIRE_EQUAL(app_get("/public").status, 200);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~fixture() { CAF_CHECK_EQUAL(harp.error_lines(), std::vector<std::string>{}); }
  double p99_ms() {
    std::vector<double> all;
    http_client client{harp.exapps()};
    for (int i = 0; i < 500; ++i) {
      auto began = clock::now();
      CAF_CHECK_EQUAL(client.ask("GET", "/exapps/app/public").status, 200);
      all.push_back(std::chrono::duration<double, std::milli>(clock::now() - began).count());
    }
    std::sort(all.begin(), all.end());
    return all[all.size() * 99 / 100];
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(floods, fixture)

CAF_TEST(h10_slow_connections_are_ended) {
  double baseline = std::max(p99_ms(), 1.0);
  size_t before = harp.program().resident_bytes();
  std::vector<channel> slow;
  for (int i = 0; i < 5000; ++i) {
    slow.push_back(channel::connect(harp.exapps()));
    if (slow.back().open())
      slow.back().send("G");
  }
  size_t each = (harp.program().resident_bytes() - before) / slow.size();
  CAF_MESSAGE("bytes per idle connection: " << each);
  CAF_CHECK(each <= 16 * 1024);
  double during = p99_ms();
  CAF_MESSAGE("p99 " << baseline << " ms alone, " << during << " ms beside them");
  CAF_CHECK(during <= 2 * baseline + 2);
  std::string told;
  CAF_CHECK(until(40s, [&] {
    for (auto& one : slow)
      if (one.open()) {
        one.send("E"); // one more byte does not help
        told.clear();
        if (one.receive(told, 0ms) != heard::silence)
          one.close();
      }
    return std::none_of(slow.begin(), slow.end(), [](const auto& one) { return one.open(); });
  }));
}

CAF_TEST(b03_a_hundred_thousand_strangers) {
  size_t before = harp.program().resident_bytes();
  auto began = clock::now();
  int calls_before = nextcloud.user_calls() + nextcloud.meta_calls();
  http_client client{harp.exapps()};
  for (uint32_t i = 0; i < 100'000; ++i) {
    std::string address = "10." + std::to_string(i >> 16 & 255) + "." + std::to_string(i >> 8 & 255)
                          + "." + std::to_string(i & 255);
    auto headers = session("stranger-" + std::to_string(i));
    headers.emplace_back("X-Forwarded-For", address);
    std::string app_id = i % 3 == 0 ? "app" + std::to_string(i) : "app";
    std::string target = "/exapps/" + app_id + (i % 3 == 1 ? "/user" : "/public");
    if (!client.open() || client.ask("GET", target, headers, {}, 30s).how != heard::data)
      client = http_client{harp.exapps()};
  }
  double seconds = std::chrono::duration<double>(clock::now() - began).count();
  int calls = nextcloud.user_calls() + nextcloud.meta_calls() - calls_before;
  CAF_MESSAGE(calls << " look-ups in " << seconds << " s");
  CAF_CHECK(calls <= 50 * (seconds + 2));
  CAF_CHECK(harp.program().resident_bytes() < before + 64 * 1024 * 1024);
}

CAF_TEST(x28_ten_gibibytes_at_constant_memory) {
  size_t before = harp.program().resident_bytes();
  auto down = download(harp.exapps(), "/exapps/app/bytes?n=" + std::to_string(10 * gib), {}, 600s);
  CAF_CHECK_EQUAL(down.bytes, 10 * gib);
  CAF_CHECK(down.pattern_right);
  for (bool chunked : {false, true}) {
    auto up = upload(harp.exapps(), "/exapps/app/sink?hash=0", 10 * gib, chunked, {}, 600s);
    CAF_CHECK(up.body.find("\"bytes\":" + std::to_string(10 * gib)) != std::string::npos);
  }
  CAF_CHECK(harp.program().resident_bytes() < before + 64 * 1024 * 1024);
}

CAF_TEST_FIXTURE_SCOPE_END()
