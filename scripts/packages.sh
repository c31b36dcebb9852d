# Installing Debian packages, as root or with sudo. Sourced, not run.

# Runs a shell script as root, or says which one somebody else has to run.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    sh -c "$1"
  elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    sudo sh -c "$1"
  else
    echo "setup: this needs root, and sudo is not available without a password here. Run this once as root, then try again:" >&2
    printf '\n%s\n\n' "$1" >&2
    return 1
  fi
}

# Installs packages. Debian makes and starts a cluster of its own with the PostgreSQL server; Sluice does not want
# it, so a machine that has no PostgreSQL yet is told not to.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    echo "setup: this machine has no apt-get; install by its own means what these packages hold: $*" >&2
    return 1
  fi
  local script="set -e" dir=/etc/postgresql-common
  if [ ! -e $dir ]; then
    case " $* " in *" postgresql "*)
      script+="; mkdir -p $dir/createcluster.d; echo 'create_main_cluster = false' >$dir/createcluster.d/sluice.conf" ;;
    esac
  fi
  script+="; export DEBIAN_FRONTEND=noninteractive; apt-get update -q; apt-get install -q -y --no-install-recommends $*"
  echo "setup: installing $*"
  as_root "$script"
}
