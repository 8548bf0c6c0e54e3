// The marker is one line of text, so that people can see which space a folder is.
#include "storage/space_marker.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace harp {

namespace {

constexpr std::string_view intro = "harp space ";

std::string marker_text(const space_id& space) {
  return std::string(intro) + space.to_string() + "\n";
}

/// The space id of the marker; words when there is none that can be read; code 0 with words: damaged.
std::variant<space_id, storage_failure> read_marker(const safe_root& root) {
  auto opened = root.open_file(marker_file_name, O_RDONLY);
  if (auto* failed = std::get_if<storage_failure>(&opened))
    return *failed;
  char bytes[128];
  auto size = read_at(std::get<unique_fd>(opened).get(), bytes, sizeof bytes, 0);
  if (size < 0)
    return file_failure("read the marker of the space");
  std::string_view text(bytes, static_cast<size_t>(size));
  if (!text.starts_with(intro) || text.size() < intro.size() + 2 * space_id::size)
    return storage_failure{0, "the marker file is damaged"};
  auto id = space_id::parse(text.substr(intro.size(), 2 * space_id::size));
  if (!id)
    return storage_failure{0, "the marker file is damaged"};
  return *id;
}

} // namespace

std::variant<root_identity, std::string> mark_root(const safe_root& root, const space_id& space) {
  root_identity out{space, root.device(), root.inode()};
  auto found = read_marker(root);
  if (auto* id = std::get_if<space_id>(&found)) {
    if (*id == space)
      return out;
    return "this folder already belongs to the space " + id->to_string()
           + "; choose another folder, or remove the file " + std::string(marker_file_name)
           + " if that space is gone";
  }
  const auto& missing = std::get<storage_failure>(found);
  if (missing.code != ENOENT)
    return "the marker of the folder cannot be read (" + missing.what + "); check its rights";
  auto made = root.open_file(marker_file_name, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (auto* failed = std::get_if<storage_failure>(&made))
    return "the folder cannot be marked (" + failed->what + "); it must be writable";
  const auto& fd = std::get<unique_fd>(made);
  auto failed = write_at(fd.get(), marker_text(space), 0);
  if (!failed)
    failed = sync_data(fd.get());
  if (failed) {
    ::unlinkat(root.fd(), std::string(marker_file_name).c_str(), 0);
    return "the folder cannot be marked (" + failed->what + ")";
  }
  if (::fsync(root.fd()) != 0)
    return "the folder cannot be marked (" + file_failure("sync the space root").what + ")";
  return out;
}

std::optional<std::string> root_trouble(const std::string& path, const root_identity& expected,
                                        bool device_may_change) {
  auto opened = safe_root::open(path);
  if (auto* failed = std::get_if<storage_failure>(&opened))
    return "its folder cannot be opened (" + failed->what + "); is the disk mounted?";
  const auto& root = std::get<safe_root>(opened);
  auto marker = read_marker(root);
  if (auto* failed = std::get_if<storage_failure>(&marker))
    return failed->code == ENOENT
               ? "its folder has no " + std::string(marker_file_name)
                     + " file: the disk may not be mounted, or the folder was emptied"
               : "its marker cannot be read (" + failed->what + ")";
  if (std::get<space_id>(marker) != expected.space)
    return "its folder now belongs to another space";
  if (root.inode() != expected.inode || (!device_may_change && root.device() != expected.device))
    return "its folder is another one than before (copied or restored?); add the space to this "
           "folder "
           "again to go on with it";
  return std::nullopt;
}

} // namespace harp
