// Fuzz target: ignore files. Any text and any path end soon, and what is ignored stays ignored below.
#include "storage/ignore_rules.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

using namespace harp;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  auto cut = input.find('\xff');
  auto rules = ignore_rules::parse(input.substr(0, cut));
  std::string path(cut == input.npos ? "a/b" : input.substr(cut + 1, 512));
  if (rules.size() > ignore_rules_max || rules.refused().size() > 100)
    std::abort();
  bool dir = rules.ignores(path, true);
  if (!path.empty() && dir && !rules.ignores(path + "/x", false))
    std::abort();
  return 0;
}
