// The private CA of the tunnels: what is missing is made, what is there stays.
#include "net/certs.hpp"

#include "net/x509.hpp"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace harp::net {

namespace {

namespace fs = std::filesystem;

constexpr int64_t day_s = 24 * 60 * 60;
constexpr std::array<int64_t, 3> warn_days{7, 30, 60};

/// One leaf pair of the layout.
struct leaf {
  std::string_view stem; // server, client
  const char* name;      // common name and DNS name
  bool needed;           // without it Harp cannot serve tunnels
};
constexpr std::array<leaf, 2> leafs{leaf{"server", "harp.nc", true},
                                    leaf{"client", "harp.client.nc", false}};

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR)
      return false;
    bytes.remove_prefix(written > 0 ? static_cast<size_t>(written) : 0);
  }
  return true;
}

/// The directory at work: its files, and what has happened so far.
class frp_directory {
public:
  frp_directory(std::string dir, unsigned days) : dir_(std::move(dir)), days_(days) {}

  certs_report ensure() {
    std::error_code failed;
    fs::create_directories(dir_, failed);
    if (failed)
      return stop(dir_ + ": " + failed.message());
    bool leafless = std::none_of(leafs.begin(), leafs.end(),
                                 [this](const leaf& one) { return has(file_of(one, ".crt")); });
    if (!has("ca.crt") && leafless)
      make_authority();
    else if (!has("ca.crt"))
      return stop(path("ca.crt")
                  + " is missing although certificates issued by it are there: restore it, or move "
                  + dir_ + " away to start with a new CA");
    for (const leaf& one : leafs)
      if (report_.error.empty() && !(has(file_of(one, ".crt")) && has(file_of(one, ".key"))))
        issue(one);
    for (const leaf& one : leafs)
      if (report_.error.empty() && ends_soon(one))
        renew(one);
    if (report_.error.empty())
      check();
    return report_;
  }

private:
  static std::string file_of(const leaf& one, const char* ending) {
    return std::string{one.stem} + ending;
  }
  [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }
  [[nodiscard]] bool has(const std::string& name) const {
    return ::access(path(name).c_str(), F_OK) == 0;
  }
  certs_report stop(std::string why) {
    report_.error = std::move(why);
    return report_;
  }

  /// Appears whole or not at all; remembers the first failure.
  bool write(const std::string& name, const std::string& bytes, mode_t mode) {
    if (!report_.error.empty() || bytes.empty()) {
      if (report_.error.empty())
        stop(path(name) + ": OpenSSL could not make it");
      return false;
    }
    std::string temporary = path("." + name + ".new");
    ::unlink(temporary.c_str());
    int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool kept
        = file >= 0 && ::fchmod(file, mode) == 0 && write_all(file, bytes) && ::fsync(file) == 0;
    int error = errno;
    if (file >= 0)
      ::close(file);
    if (kept && ::rename(temporary.c_str(), path(name).c_str()) != 0) {
      kept = false;
      error = errno;
    }
    if (!kept) {
      ::unlink(temporary.c_str());
      stop(path(name) + ": " + std::strerror(error));
      return false;
    }
    sync_directory();
    report_.created.push_back(name);
    return true;
  }

  /// A rename is durable once its directory is.
  void sync_directory() const {
    int directory = ::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
      return;
    ::fsync(directory);
    ::close(directory);
  }

  /// The key in `name`, made when there is none.
  key_ptr key_of(const std::string& name) {
    if (has(name)) {
      key_ptr found = load_key_pem(path(name));
      if (!found)
        stop(path(name) + ": holds no usable private key without passphrase");
      return found;
    }
    key_ptr made = make_rsa_key();
    return write(name, made ? to_pem(made.get()) : std::string{}, 0600) ? std::move(made) : nullptr;
  }

  /// A ca.key alone is the remains of an interrupted first start: its certificate is still to be
  /// made.
  void make_authority() {
    key_ptr key = key_of("ca.key");
    if (!key)
      return;
    certificate_plan plan{"harp.nc", "", true, days_, random_serial_hex()};
    x509_ptr made = make_certificate(key.get(), plan, nullptr, key.get());
    write("ca.crt", made ? to_pem(made.get()) : std::string{}, 0644);
  }

  [[nodiscard]] bool ends_soon(const leaf& one) const {
    x509_ptr found = load_certificate_pem(path(file_of(one, ".crt")));
    int life_days = 0;
    int left_days = 0;
    int seconds = 0;
    if (!found || ASN1_TIME_diff(&left_days, &seconds, nullptr, X509_get0_notAfter(found.get())) != 1
        || ASN1_TIME_diff(&life_days, &seconds, X509_get0_notBefore(found.get()),
                          X509_get0_notAfter(found.get())) != 1)
      return false;
    return left_days < std::min<int>(renew_days, life_days / 3);
  }

  /// Only what surely works: an authority that cannot sign, or ends as soon, leaves everything as it is, with a warning.
  void renew(const leaf& one) {
    x509_ptr authority = load_certificate_pem(path("ca.crt"));
    key_ptr authority_key = has("ca.key") ? load_key_pem(path("ca.key")) : nullptr;
    key_ptr key = has(file_of(one, ".key")) ? load_key_pem(path(file_of(one, ".key"))) : nullptr;
    int left_days = 0;
    int seconds = 0;
    bool able = authority && authority_key && key
                && X509_check_private_key(authority.get(), authority_key.get()) == 1
                && ASN1_TIME_diff(&left_days, &seconds, nullptr, X509_get0_notAfter(authority.get())) == 1
                && left_days >= static_cast<int>(renew_days);
    if (able) {
      issue(one);
      report_.warnings.push_back(path(file_of(one, ".crt")) + " was near its end and was issued anew for its old key.");
      return;
    }
    report_.warnings.push_back(path(file_of(one, ".crt")) + " is near its end and cannot be issued anew: "
                               + (authority && authority_key ? "the CA itself ends soon." : "ca.key or its own key is missing or unusable."));
  }

  void issue(const leaf& one) {
    if (!has("ca.key")) {
      std::string why = path(file_of(one, has(file_of(one, ".crt")) ? ".key" : ".crt"))
                        + " is missing and cannot be issued again without " + path("ca.key");
      if (one.needed)
        stop(std::move(why));
      else
        report_.warnings.push_back(why + ": ExApps that need a tunnel cannot be deployed.");
      return;
    }
    x509_ptr authority = load_certificate_pem(path("ca.crt"));
    key_ptr authority_key = key_of("ca.key");
    if (!authority_key)
      return;
    if (!authority || X509_check_private_key(authority.get(), authority_key.get()) != 1) {
      stop(path("ca.crt") + " and " + path("ca.key") + " do not belong together");
      return;
    }
    key_ptr key = key_of(file_of(one, ".key"));
    if (!key)
      return;
    certificate_plan plan{one.name, one.name, false, days_, random_serial_hex()};
    x509_ptr made = make_certificate(key.get(), plan, authority.get(), authority_key.get());
    if (write(file_of(one, ".crt"), made ? to_pem(made.get()) : std::string{}, 0644))
      write("ca.srl", plan.serial_hex + "\n", 0644);
  }

  /// What is there is used as it is; what will not work, or not for long, is said.
  void check() {
    int64_t now = std::time(nullptr);
    for (const char* name : {"ca.crt", "server.crt", "client.crt"}) {
      if (!has(name))
        continue; // said by issue()
      certificate_facts facts = read_certificate(path(name), path("ca.crt"));
      if (!facts.error.empty()) {
        stop(facts.error);
        return;
      }
      std::string expiry = expiry_warning(path(name), facts.not_after_unix_s, now);
      if (!expiry.empty())
        report_.warnings.push_back(expiry);
      if (!facts.issued_by_ca && std::string_view{name} != "ca.crt")
        report_.warnings.push_back(path(name) + " was not issued by " + path("ca.crt")
                                   + ": tunnels that verify it will fail.");
    }
    struct stat facts {};
    for (const char* name : {"ca.key", "server.key", "client.key"})
      if (::stat(path(name).c_str(), &facts) == 0 && (facts.st_mode & 0077) != 0)
        report_.warnings.push_back(path(name) + " can be read by other users: chmod 600.");
  }

  std::string dir_;
  unsigned days_;
  certs_report report_;
};

} // namespace

certs_report ensure_frp_certs(const std::string& dir, unsigned validity_days) {
  if (validity_days == 0 || validity_days > certificate_days_max)
    return {{}, {}, "certificates must be valid for 1 to 36500 days"};
  certs_report out = frp_directory{dir, validity_days}.ensure();
  ERR_clear_error();
  return out;
}

certificate_facts read_certificate(const std::string& file, const std::string& ca_file) {
  certificate_facts out;
  if (::access(file.c_str(), R_OK) != 0) {
    out.error = file + ": " + std::strerror(errno);
    return out;
  }
  x509_ptr certificate = load_certificate_pem(file);
  tm end{};
  if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) {
    out.error = file + ": holds no certificate";
    ERR_clear_error();
    return out;
  }
  out.subject = name_text(X509_get_subject_name(certificate.get()));
  out.issuer = name_text(X509_get_issuer_name(certificate.get()));
  out.names = alternative_names(certificate.get());
  out.not_after_unix_s = ::timegm(&end);
  if (x509_ptr authority = load_certificate_pem(ca_file); authority && !ca_file.empty())
    out.issued_by_ca = X509_check_issued(authority.get(), certificate.get()) == X509_V_OK
                       && X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1;
  ERR_clear_error();
  return out;
}

std::string expiry_warning(const std::string& what, int64_t not_after_unix_s, int64_t now_unix_s) {
  int64_t left_s = not_after_unix_s - now_unix_s;
  if (left_s <= 0)
    return what + " has expired.";
  for (int64_t days : warn_days)
    if (left_s <= days * day_s)
      return what + " expires in less than " + std::to_string(days) + " days (in "
             + std::to_string(left_s / day_s) + ").";
  return {};
}

} // namespace harp::net
