#define CAF_SUITE signing
#include "storage/signing.hpp"

#include <caf/test/unit_test.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

using namespace harp;

namespace {

struct key_place {
  std::string dir;
  key_place() {
    char name[] = "/tmp/harp-signing-XXXXXX";
    dir = mkdtemp(name);
  }
  ~key_place() { std::filesystem::remove_all(dir); }
  [[nodiscard]] std::string path() const { return dir + "/device.key"; }
  [[nodiscard]] size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(dir), {}));
  }
};

signing_key fixed() {
  return signing_key::from_seed(std::string(32, '\7'));
}

} // namespace

CAF_TEST(signatures_hold_for_key_purpose_and_bytes_only) {
  auto key = signing_key::make();
  auto sig = key.sign("harp.bundle", "bytes");
  CAF_CHECK(verify_signature(key.public_key(), "harp.bundle", "bytes", sig));
  CAF_CHECK(!verify_signature(key.public_key(), "harp.roster", "bytes", sig));
  CAF_CHECK(!verify_signature(key.public_key(), "harp.bundle", "byteS", sig));
  CAF_CHECK(!verify_signature(signing_key::make().public_key(), "harp.bundle", "bytes", sig));
  sig.bytes[5] ^= 1;
  CAF_CHECK(!verify_signature(key.public_key(), "harp.bundle", "bytes", sig));
}

CAF_TEST(signing_has_a_golden_vector) {
  CAF_CHECK_EQUAL(fixed().public_key().to_string(),
                  "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
  CAF_CHECK_EQUAL(fixed().sign("harp.bundle", "abc").to_string(),
                  "432cf1556406b8f1735f8d438b6825b853bedd34da9e928b8c1098e3ee3fe9af67db239ac0154494"
                  "b36e18f27938bc3edc1ab43b82b9852e716e5afbac24a90f");
}

CAF_TEST(a_saved_key_is_private_and_comes_back) {
  key_place place;
  auto key = signing_key::make();
  CAF_REQUIRE(!key.save(place.path()));
  struct stat seen {};
  CAF_REQUIRE_EQUAL(stat(place.path().c_str(), &seen), 0);
  CAF_CHECK_EQUAL(seen.st_mode & 0777u, 0600u);
  CAF_CHECK_EQUAL(place.files(), 1u);
  auto loaded = signing_key::load(place.path());
  CAF_REQUIRE(std::holds_alternative<signing_key>(loaded));
  CAF_CHECK(std::get<signing_key>(loaded).public_key() == key.public_key());
  CAF_CHECK(std::get<signing_key>(loaded).seed() == key.seed());
}

CAF_TEST(an_existing_key_is_never_replaced) {
  key_place place;
  auto first = signing_key::make();
  CAF_REQUIRE(!first.save(place.path()));
  auto refused = signing_key::make().save(place.path());
  CAF_REQUIRE(refused);
  CAF_CHECK_EQUAL(place.files(), 1u);
  auto loaded = signing_key::load(place.path());
  CAF_CHECK(std::get<signing_key>(loaded).public_key() == first.public_key());
  CAF_CHECK(signing_key::make().save(place.dir + "/missing/device.key"));
}

CAF_TEST(refuses_files_that_are_missing_open_to_others_or_damaged) {
  key_place place;
  auto key = fixed();
  CAF_CHECK(std::holds_alternative<std::string>(signing_key::load(place.path())));
  CAF_REQUIRE(!key.save(place.path()));
  chmod(place.path().c_str(), 0640);
  CAF_CHECK(std::holds_alternative<std::string>(signing_key::load(place.path())));
  chmod(place.path().c_str(), 0600);
  CAF_CHECK(std::holds_alternative<signing_key>(signing_key::load(place.path())));
  std::string whole;
  std::getline(std::ifstream(place.path()), whole);
  for (std::string bad : {whole.substr(0, 40), whole + "0\n", whole + "\n\n",
                          "x" + whole.substr(1) + "\n", std::string{}}) {
    std::ofstream(place.path(), std::ios::trunc) << bad;
    auto loaded = signing_key::load(place.path());
    CAF_REQUIRE(std::holds_alternative<std::string>(loaded));
    CAF_CHECK(std::get<std::string>(loaded).find("0707") == std::string::npos);
  }
  std::filesystem::remove(place.path());
  std::filesystem::create_symlink("/dev/zero", place.path());
  CAF_CHECK(std::holds_alternative<std::string>(signing_key::load(place.path())));
}

CAF_TEST(a_moved_key_leaves_nothing_behind) {
  auto key = fixed();
  auto moved = std::move(key);
  CAF_CHECK(moved.public_key() == fixed().public_key());
  CAF_CHECK(key.seed() == std::string_view(std::string(32, '\0')));
}
