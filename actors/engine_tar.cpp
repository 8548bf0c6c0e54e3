#include "actors/engine_tar.hpp"

#include <array>
#include <cstdio>
#include <cstring>

namespace harp {

namespace {

constexpr size_t block_bytes = 512;
using block = std::array<char, block_bytes>;

/// Octal digits as ustar writes them: zero-filled, ended by NUL.
void put_octal(block& head, size_t at, size_t bytes, size_t value) {
  std::snprintf(head.data() + at, bytes, "%0*zo", static_cast<int>(bytes - 1), value);
}

block head_of(const tar_file& file) {
  block head{};
  std::memcpy(head.data(), file.name.data(), file.name.size());
  put_octal(head, 100, 8, 0644);
  put_octal(head, 108, 8, 0); // uid
  put_octal(head, 116, 8, 0); // gid
  put_octal(head, 124, 12, file.bytes.size());
  put_octal(head, 136, 12, 0); // time
  head[156] = '0';             // regular file
  std::memcpy(head.data() + 257,
              "ustar\0"
              "00",
              8);
  std::memset(head.data() + 148, ' ', 8); // the checksum counts itself as blanks
  size_t sum = 0;
  for (char c : head)
    sum += static_cast<unsigned char>(c);
  put_octal(head, 148, 7, sum);
  return head;
}

} // namespace

std::string make_tar(const std::vector<tar_file>& files) {
  std::string out;
  for (const auto& file : files) {
    if (file.name.empty() || file.name.size() > tar_name_bytes_max || file.name.front() == '/')
      return {};
    auto head = head_of(file);
    out.append(head.data(), head.size());
    out += file.bytes;
    out.append((block_bytes - file.bytes.size() % block_bytes) % block_bytes, '\0');
  }
  return out.append(2 * block_bytes, '\0');
}

} // namespace harp
