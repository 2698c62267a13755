#!/usr/bin/env bash
# Installs what Patina is built and tested with, as far as it is missing: Debian packages (with sudo where not root) and
# the Python environment .venv of the tests. Uses no network, and asks for no password, when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    libsqlite3-dev                                              # the store
    sqlite3                                                     # a program that is not ours, in the store's tests
    libngtcp2-dev libngtcp2-crypto-gnutls-dev libgnutls28-dev   # QUIC
    pkg-config git ca-certificates                              # what the Swift package manager calls
    curl python3 python3-venv                                   # the end-to-end tests
    chromium                                                    # looks at report pages in the end-to-end tests
)

fail() {
    printf 'make deps: %s\n' "$1" >&2
    exit 1
}

if ! command -v swift >/dev/null; then
    fail 'the Swift toolchain is missing. Install Swift 6.2 or later from swift.org and put it on the PATH.'
fi

if command -v dpkg-query >/dev/null; then
    missing=()
    for package in "${packages[@]}"; do
        state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        printf 'make deps: installing %s\n' "${missing[*]}"
        become=()
        if [ "$(id -u)" -ne 0 ]; then
            command -v sudo >/dev/null || fail "need root or sudo to run: apt-get install ${missing[*]}"
            become=(sudo)
        fi
        "${become[@]}" apt-get update -qq
        "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    fi
else
    printf 'make deps: this is no Debian; make sure that the equivalents of these are installed: %s\n' "${packages[*]}" >&2
fi

# The environment is made again when the list of its packages has changed, or when it was made by another Python.
if ! cmp -s scripts/requirements.txt .venv/installed.txt || ! .venv/bin/python3 -c '' 2>/dev/null; then
    printf 'make deps: making .venv\n'
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/python3 -m pip install --quiet --disable-pip-version-check --requirement scripts/requirements.txt
    cp scripts/requirements.txt .venv/installed.txt
fi
