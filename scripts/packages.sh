# Installing Debian packages, as root or with sudo. Sourced, not run.

# Runs a command as root, or says which command someone else has to run.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    sudo "$@"
  else
    echo "setup: this needs root, and sudo is not available without a password here. Have this run once:" >&2
    echo "  $*" >&2
    return 1
  fi
}

# Installs packages; the package lists are fetched only when they are needed.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    echo "setup: this machine has no apt-get; install by its own means what these packages hold: $*" >&2
    return 1
  fi
  echo "setup: installing $*"
  # One command line, so that the advice of as_root is complete.
  as_root sh -c "export DEBIAN_FRONTEND=noninteractive; apt-get update -q && apt-get install -q -y --no-install-recommends $*"
}
