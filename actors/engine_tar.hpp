// A tar archive of a few regular files, as engines unpack it into a container (ustar). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr size_t tar_name_bytes_max = 100;

struct tar_file {
  std::string name; // relative, at most tar_name_bytes_max; a longer one makes the archive empty
  std::string_view bytes;
};

/// Owner root, mode 0644, no time stamps: the same files give the same bytes. "" on a bad name.
std::string make_tar(const std::vector<tar_file>& files);

} // namespace harp
