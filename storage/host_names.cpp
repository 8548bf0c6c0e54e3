// Rules of file systems for names, aliases that fit them, and folding through utf8proc.
#include "storage/host_names.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <memory>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <utf8proc.h>

namespace harp {

namespace {

// statfs(2) names these, <linux/magic.h> does not
constexpr int64_t cifs_magic = 0xff534d42;
constexpr int64_t smb2_magic = 0xfe534d42;
constexpr int64_t ntfs_magic = 0x5346544e;
constexpr int64_t ntfs3_magic = 0x7366746e;
constexpr int64_t vfat_magic = 0x4d44;
constexpr int64_t exfat_magic = 0x2011bab0;
constexpr unsigned long casefold_flag = 0x40000000; // FS_CASEFOLD_FL

bool reserved_word(std::string_view name) {
  constexpr std::array words{"con", "prn", "aux", "nul"};
  std::string stem(name.substr(0, name.find('.')));
  for (char& c : stem)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (std::find(words.begin(), words.end(), stem) != words.end())
    return true;
  return stem.size() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")) && stem[3] >= '1'
         && stem[3] <= '9';
}

bool plain_byte(char c) {
  constexpr std::string_view refused = "<>:\"|?*\\/";
  return static_cast<unsigned char>(c) >= 0x20 && refused.find(c) == refused.npos;
}

/// Cuts to `size` bytes without splitting a character.
std::string_view cut(std::string_view text, size_t size) {
  if (text.size() <= size)
    return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80)
    --size;
  return text.substr(0, size);
}

} // namespace

host_traits probe_host(const safe_root& root) {
  host_traits out;
  struct statfs info {};
  if (::fstatfs(root.fd(), &info) != 0)
    return out;
  if (info.f_namelen > 0)
    out.name_bytes_max = std::min<size_t>(static_cast<size_t>(info.f_namelen), 255);
  auto type = static_cast<int64_t>(static_cast<uint32_t>(info.f_type));
  constexpr std::array windows{cifs_magic,  smb2_magic, ntfs_magic,
                               ntfs3_magic, vfat_magic, exfat_magic};
  if (std::find(windows.begin(), windows.end(), type) != windows.end())
    out.folds_case = out.plain_names = true;
  unsigned long flags = 0;
  if (::ioctl(root.fd(), FS_IOC_GETFLAGS, &flags) == 0 && (flags & casefold_flag) != 0)
    out.folds_case = true;
  return out;
}

bool host_can_hold(std::string_view name, const host_traits& traits) {
  if (!is_component(name) || name.size() > traits.name_bytes_max)
    return false;
  if (!traits.plain_names)
    return true;
  return std::all_of(name.begin(), name.end(), plain_byte) && name.back() != '.'
         && name.back() != ' ' && !reserved_word(name);
}

std::string host_alias(std::string_view name, unsigned k, const host_traits& traits) {
  std::string plain(name);
  if (traits.plain_names) {
    std::replace_if(
        plain.begin(), plain.end(), [](char c) { return !plain_byte(c); }, '_');
    while (!plain.empty() && (plain.back() == '.' || plain.back() == ' '))
      plain.back() = '_';
  }
  auto dot = plain.rfind('.');
  bool has_ending = dot != plain.npos && dot != 0 && plain.size() - dot <= 16;
  std::string ending = has_ending ? plain.substr(dot) : std::string{};
  std::string stem = has_ending ? plain.substr(0, dot) : plain;
  // a double ending such as CON.tar.gz: the mark goes where the reserved word ends
  if (traits.plain_names && reserved_word(stem)) {
    auto first = stem.find('.');
    ending = (first == stem.npos ? std::string{} : stem.substr(first)) + ending;
    stem = stem.substr(0, first);
  }
  std::string mark = "~" + std::to_string(k);
  size_t room
      = traits.name_bytes_max - std::min(traits.name_bytes_max, mark.size() + ending.size());
  return std::string(cut(stem, room)) + mark + ending;
}

std::string folded_name(std::string_view name) {
  utf8proc_uint8_t* raw = nullptr;
  auto size = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(name.data()),
      static_cast<utf8proc_ssize_t>(name.size()), &raw,
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD));
  std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned{raw, &std::free};
  if (size < 0)
    return std::string(name);
  return {reinterpret_cast<const char*>(raw), static_cast<size_t>(size)};
}

} // namespace harp
