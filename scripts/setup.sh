#!/usr/bin/env bash
# Installs what building, testing and the demo need and this machine lacks: Debian packages and npm packages.
# Rust and Node are expected to be there. Running it again costs a fraction of a second.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/packages.sh

# A PostgreSQL server of at least version 15, found as crates/embedded finds it.
has_postgres() {
  local bin
  for bin in "${SLUICE_POSTGRES_BIN:-}" /usr/lib/postgresql/*/bin $(echo "$PATH" | tr ':' ' '); do
    [ -x "$bin/postgres" ] || continue
    [ "$("$bin/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')" -ge 15 ] && return 0
  done
  return 1
}

debian() {
  local missing=()
  command -v cc >/dev/null || missing+=(build-essential)
  command -v flock >/dev/null || missing+=(util-linux)
  has_postgres || missing+=(postgresql)
  [ ${#missing[@]} = 0 ] && return 0
  install_packages "${missing[@]}"
  has_postgres && return 0
  echo "setup: the PostgreSQL of this Debian is older than 15; set SLUICE_POSTGRES_BIN to the bin folder of a newer one" >&2
  return 1
}

rust() {
  command -v cargo >/dev/null || { echo "setup: Rust is missing: https://rustup.rs" >&2; return 1; }
  local missing=()
  cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
  cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
  [ ${#missing[@]} = 0 ] && return 0
  command -v rustup >/dev/null || { echo "setup: cargo lacks ${missing[*]}, and there is no rustup to add it" >&2; return 1; }
  rustup component add "${missing[@]}"
}

# npm ci where the lock file is not the one that was installed last. The stamp lies in node_modules, so that
# deleting that folder is enough to start over.
npm_packages() {
  local dir=$1 lock=$1/package-lock.json stamp=$1/node_modules/.sluice-stamp sum
  [ -f "$lock" ] || return 0
  sum=$(sha256sum <"$lock")
  [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return 0
  command -v npm >/dev/null || { echo "setup: Node and npm are missing: https://nodejs.org (18 or newer)" >&2; return 1; }
  echo "setup: npm ci in $dir"
  # Install scripts are not needed: the binaries are packages of their own. `npm ci` refuses a lock file that was
  # made where the registry lacks other platforms' optional packages; `npm install --no-save` takes the same
  # versions and integrity hashes from it, and leaves it as it is.
  local options=(--ignore-scripts --no-audit --no-fund --fetch-retries=4)
  (cd "$dir" && { npm ci --silent "${options[@]}" || npm install --no-save --loglevel=error "${options[@]}"; }) </dev/null
  echo "$sum" >"$stamp"
}

debian
rust
npm_packages contracts
npm_packages crates/snapshot/tests/npm
npm_packages crates/gate/tests/npm
npm_packages web
