# Sourced by the scripts beside it: where the repository is, and Debian packages. No side effects when sourced.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# missing_packages PACKAGE... - prints those that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || echo "$package"
    done
}

# install_missing PACKAGE... - installs what is not there; does nothing, and needs no network, when all is.
install_missing() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# install_without_starting PACKAGE... - the same for packages that carry a service, which is neither started nor enabled.
install_without_starting() {
    local missing policy=/usr/sbin/policy-rc.d ours=no package status=0
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        ours=yes
    fi
    install_missing "${missing[@]}" || status=$?
    if [ "$ours" = yes ]; then
        as_root rm -f "$policy"
    fi
    for package in "${missing[@]}"; do
        if [ -e "/etc/init.d/$package" ]; then
            as_root update-rc.d "$package" disable >/dev/null 2>&1 || true
            as_root systemctl disable "$package" >/dev/null 2>&1 || true
        fi
    done
    return "$status"
}

# build_directory PRESET
build_directory() {
    if [ "$1" = release ]; then
        echo "$ROOT/build"
    else
        echo "$ROOT/build-$1"
    fi
}

BUILD_PACKAGES=(gcc libc6-dev make cmake librocksdb-dev liburing-dev libzstd-dev liblz4-dev libxxhash-dev libjemalloc-dev
    libluajit-5.1-dev)

# build PRESET [TARGET...] - configures and builds; all targets if none is named.
build() {
    local preset=$1 directory targets=()
    shift
    directory=$(build_directory "$preset")
    [ $# -eq 0 ] || targets=(--target "$@")
    (cd "$ROOT" && cmake --preset "$preset" >"$ROOT/.cmake.log" 2>&1) || { cat "$ROOT/.cmake.log" >&2; return 1; }
    rm -f "$ROOT/.cmake.log"
    cmake --build "$directory" --parallel "$(nproc)" "${targets[@]}"
}
