// Connections that somebody else makes for us: one end of a fresh socket pair is passed to a process
// that holds what we may not touch. Any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace harp::net {

/// A descriptor that closes itself.
class owned_descriptor {
public:
  explicit owned_descriptor(int value = -1) : value_(value) {}
  owned_descriptor(owned_descriptor&& other) noexcept : value_(other.release()) {}
  owned_descriptor& operator=(owned_descriptor&& other) noexcept;
  ~owned_descriptor();
  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] bool open() const { return value_ >= 0; }
  int release();

private:
  int value_;
};

/// From now on dialling the unix socket `path` passes one end of a pair over `control`, a
/// SOCK_SEQPACKET socket that stays open.
void pass_connections_to(std::string path, owned_descriptor control);

/// Our end of a new pair whose other end was passed on; not open: that process is gone. Nothing: no
/// process stands for this path.
std::optional<owned_descriptor> passed_connection(const std::string& path);

/// Passes `end` over `control`; false when nobody takes it.
bool send_descriptor(int control, int end);
/// The next descriptor that came over `control`. Not open: none is waiting; `ended` tells whether
/// the other side has closed.
owned_descriptor receive_descriptor(int control, bool& ended);

} // namespace harp::net
