// Fuzz target: pack records, heads and footers. Data is given out only under its own hash; places lie inside the file.
#include "storage/digest.hpp"
#include "storage/pack_file.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

using namespace harp;

namespace {

void require(bool holds) {
  if (!holds)
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  if (auto head = parse_pack_head(input)) {
    require(head->length >= pack_head_bytes
            && head->length <= pack_head_bytes + pack_data_bytes_max);
    auto decoded = decode_pack_record(input, head->id);
    if (decoded.index() == 0)
      require(chunk_id_of(std::get<0>(decoded)) == head->id);
  }
  if (auto entries = parse_pack_footer(input, size + pack_start_bytes))
    for (const auto& entry : *entries)
      require(uint64_t{entry.offset} + entry.length <= pack_start_bytes + size);
  auto record = encode_pack_record(chunk_id_of(input), input.substr(0, pack_data_bytes_max));
  auto again = decode_pack_record(record, chunk_id_of(input));
  require(again.index() == 0 && std::get<0>(again) == input);
  return 0;
}
