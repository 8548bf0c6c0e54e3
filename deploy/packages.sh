# Debian packages Harp is built from, and how they get installed. Sourced by deploy/up and tests/run; bash.
# shellcheck shell=bash disable=SC2034

build_packages=(
  g++ cmake ninja-build pkg-config ccache
  libcaf-dev libssl-dev libsodium-dev liblmdb-dev libpcre2-dev libpugixml-dev libzstd-dev libsnappy-dev libutf8proc-dev
  nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libspdlog-dev prometheus-cpp-dev
  ca-certificates curl jq openssl
)

say() { printf '==> %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "root or sudo is needed for: $*"
    return 1
  fi
}

is_installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

# Boost is a versioned package on Debian 12, a plain one later.
boost_package() {
  if is_installed libboost1.81-dev || apt-cache show libboost1.81-dev >/dev/null 2>&1; then
    echo libboost1.81-dev
  else
    echo libboost-dev
  fi
}

# Freshly installed daemons (nginx, apache2, ...) must not start and take ports; an existing policy is left alone.
without_services() {
  local policy=/usr/sbin/policy-rc.d made=no status=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made=yes
  fi
  "$@" || status=$?
  if [ "$made" = yes ]; then as_root rm -f "$policy"; fi
  return "$status"
}

# Installs those of the named packages that are missing; asks the network only then.
install_packages() {
  local missing=() name
  for name in "$@"; do is_installed "$name" || missing+=("$name"); done
  if [ "${#missing[@]}" = 0 ]; then
    say "all $# Debian packages are there"
    return
  fi
  say "installing ${#missing[@]} of $# Debian packages: ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update >&2
  without_services as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}" >&2
}

install_build_packages() {
  if ! apt-cache show libcaf-dev >/dev/null 2>&1; then # a fresh image has no package lists
    as_root apt-get update >&2
  fi
  install_packages "${build_packages[@]}" "$(boost_package)" "$@"
}

# Configures and builds the release preset in the checkout $1; further arguments go to cmake --build.
build_release() {
  local checkout=$1
  shift
  say "configuring and building build/release (the first time takes minutes)"
  (cd "$checkout" && cmake --preset release && cmake --build --preset release -j 2 "$@") >&2
}
