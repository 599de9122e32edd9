# Owns: what tools/demo and tools/check share: packages, configuring, building.
# Sourced, not run. Callers have done `set -eu` and stand in the project's root.

# Debian 12 names. clang-22 and its libraries come from bookworm-security.
BUILD_PACKAGES="g++ meson ninja-build pkg-config ccache libdrm-dev libvulkan-dev libmsgpack-cxx-dev
  nlohmann-json3-dev libcli11-dev clang-22 lld-22"
CHECK_PACKAGES="git make binutils clang-format-22 clang-tidy-22 llvm-22-dev libclang-rt-22-dev
  libgtest-dev libbenchmark-dev libdrm-amdgpu1 libdrm-tests pciutils clinfo rocminfo python3
  libhsa-runtime-dev hipcc libamdhip64-dev rocm-device-libs"

# Compilations are shared between checkouts, wherever they lie.
export CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1

missing_packages() {
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || echo "$package"
  done
}

# Installs what is missing: as root without a question, else it names them first and asks sudo.
ensure_packages() {
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  echo "Missing packages: $missing"
  if [ "$(id -u)" = 0 ]; then as_root=""; else
    command -v sudo >/dev/null || { echo "Install them as root: apt-get install $missing" >&2; exit 1; }
    echo "Installing them with sudo (interrupt now to do it yourself)"
    as_root="sudo"
  fi
  $as_root apt-get update -qq
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# configure DIR [meson options]: sets up a build directory once.
configure() {
  dir=$1
  shift
  if [ ! -f "$dir/build.ninja" ]; then
    mkdir -p "$(dirname "$dir")"
    CC="${CC:-ccache gcc}" CXX="${CXX:-ccache g++}" meson setup "$dir" "$@" >"$dir.log" 2>&1 || {
      cat "$dir.log" >&2
      exit 1
    }
  fi
  rm -f "$dir.log"
}
