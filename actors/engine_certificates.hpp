// Which certificates go where in an ExApp's container (appapi-harp.md 4.5). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr size_t bundle_certificates_max = 2000;
inline constexpr size_t certificate_bytes_max = 64 * 1024;

/// Where a distribution keeps additional CAs and how it takes them up.
struct certificate_place {
  std::string directory; // absolute; empty: this system is not known
  std::vector<std::string> update;
};

/// By the text of /etc/os-release, any case.
certificate_place certificate_place_of(std::string_view os_release);

/// The PEM certificates of a bundle, each with its frame and a line end; anything else is left out.
std::vector<std::string> split_bundle(std::string_view bundle);

} // namespace harp
