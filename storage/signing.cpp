// Ed25519 through libsodium; the key file.
#include "storage/signing.hpp"

#include "storage/digest.hpp"

#include <sodium.h>

#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace harp {

namespace {

constexpr std::string_view file_head = "harp-key-1 ";
constexpr size_t seed_bytes = crypto_sign_SEEDBYTES;
constexpr size_t file_bytes = file_head.size() + 2 * seed_bytes + 1;

static_assert(signature::size == crypto_sign_BYTES
              && device_key::size == crypto_sign_PUBLICKEYBYTES);

/// A buffer that held a secret and forgets it.
struct wiped_text {
  std::string text;
  wiped_text() = default;
  explicit wiped_text(size_t size) : text(size, '\0') {}
  wiped_text(const wiped_text&) = delete;
  wiped_text& operator=(const wiped_text&) = delete;
  ~wiped_text() { sodium_memzero(text.data(), text.size()); }
};

/// A descriptor that closes itself.
struct open_file {
  int fd = -1;
  explicit open_file(int number) : fd(number) {}
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;
  ~open_file() {
    if (fd >= 0)
      ::close(fd);
  }
};

std::string trouble(const std::string& path, std::string_view what, int error) {
  return "key file " + path + ": " + std::string(what) + ": " + std::strerror(error);
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

size_t read_all(int fd, std::string& into) {
  size_t have = 0;
  while (have < into.size()) {
    auto n = ::read(fd, into.data() + have, into.size() - have);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    have += static_cast<size_t>(n);
  }
  return have;
}

/// Gives the finished temporary file its name; an existing file there is an error (EEXIST).
int place(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL && errno != ENOSYS)
    return errno;
  // A file system without that flag: a hard link refuses an existing name as well.
  if (::link(from.c_str(), to.c_str()) != 0)
    return errno;
  ::unlink(from.c_str());
  return 0;
}

bool sync_directory_of(const std::string& path) {
  auto parent = std::filesystem::path(path).parent_path();
  open_file dir{::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  return dir.fd >= 0 && ::fsync(dir.fd) == 0;
}

std::string temporary_name(const std::string& path) {
  return path + "." + std::to_string(::getpid()) + "." + std::to_string(randombytes_random())
         + ".tmp";
}

} // namespace

signing_key signing_key::make() {
  if (sodium_init() < 0)
    std::abort(); // no random source: a guessable key would be worse than none
  signing_key out;
  randombytes_buf(out.secret_.data(), seed_bytes);
  out.derive();
  return out;
}

signing_key signing_key::from_seed(std::string_view seed) {
  assert(seed.size() == seed_bytes);
  signing_key out;
  std::memcpy(out.secret_.data(), seed.data(), std::min(seed.size(), seed_bytes));
  out.derive();
  return out;
}

void signing_key::derive() {
  std::array<uint8_t, seed_bytes> seed{};
  std::memcpy(seed.data(), secret_.data(), seed_bytes);
  crypto_sign_seed_keypair(public_.bytes.data(), secret_.data(), seed.data());
  sodium_memzero(seed.data(), seed.size());
}

signing_key::signing_key(signing_key&& other) noexcept
    : secret_(other.secret_), public_(other.public_) {
  sodium_memzero(other.secret_.data(), other.secret_.size());
}

signing_key& signing_key::operator=(signing_key&& other) noexcept {
  if (this != &other) {
    secret_ = other.secret_;
    public_ = other.public_;
    sodium_memzero(other.secret_.data(), other.secret_.size());
  }
  return *this;
}

signing_key::~signing_key() {
  sodium_memzero(secret_.data(), secret_.size());
}

std::variant<signing_key, std::string> signing_key::load(const std::string& path) {
  open_file file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  struct stat seen {};
  if (file.fd < 0 || ::fstat(file.fd, &seen) != 0)
    return trouble(path, "cannot be opened", errno);
  if (!S_ISREG(seen.st_mode) || (seen.st_mode & 077) != 0)
    return "key file " + path
           + ": others may read or change it; chmod 600 it if you are sure nobody did";
  wiped_text held(file_bytes + 1); // one more, to see that nothing follows
  bool whole = read_all(file.fd, held.text) == file_bytes && held.text.starts_with(file_head)
               && held.text[file_bytes - 1] == '\n';
  signing_key out;
  if (!whole
      || !from_hex(std::string_view(held.text).substr(file_head.size(), 2 * seed_bytes),
                   out.secret_.data(), seed_bytes))
    return "key file " + path
           + ": is damaged; restore it from a backup, or remove it and join anew";
  out.derive();
  return out;
}

std::optional<std::string> signing_key::save(const std::string& path) const {
  wiped_text text;
  text.text.reserve(file_bytes); // no second copy of the secret by growth
  wiped_text hex;
  hex.text = to_hex(secret_.data(), seed_bytes);
  text.text.append(file_head).append(hex.text).append("\n");
  auto temporary = temporary_name(path);
  int error = 0;
  {
    open_file file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (file.fd < 0)
      return trouble(path, "cannot be written", errno);
    if (!write_all(file.fd, text.text) || ::fsync(file.fd) != 0)
      error = errno;
  }
  if (error == 0)
    error = place(temporary, path);
  if (error != 0) {
    ::unlink(temporary.c_str());
    return trouble(path, "cannot be written", error);
  }
  if (!sync_directory_of(path))
    return trouble(path, "its folder cannot be synced", errno);
  return std::nullopt;
}

signature signing_key::sign(std::string_view purpose, std::string_view bytes) const {
  return sign(blake2b(purpose, bytes));
}

signature signing_key::sign(const digest256& digest) const {
  signature out;
  crypto_sign_detached(out.bytes.data(), nullptr, digest.bytes.data(), digest256::size,
                       secret_.data());
  return out;
}

std::string_view signing_key::seed() const {
  return {reinterpret_cast<const char*>(secret_.data()), seed_bytes};
}

bool verify_signature(const device_key& by, std::string_view purpose, std::string_view bytes,
                      const signature& sig) {
  return verify_signature(by, blake2b(purpose, bytes), sig);
}

bool verify_signature(const device_key& by, const digest256& digest, const signature& sig) {
  return crypto_sign_verify_detached(sig.bytes.data(), digest.bytes.data(), digest256::size,
                                     by.bytes.data())
         == 0;
}

} // namespace harp
