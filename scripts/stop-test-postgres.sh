#!/usr/bin/env bash
# Stops the tests' shared PostgreSQL (crates/embedded/src/testing.rs), if it runs; else it stops itself, idle.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${CARGO_TARGET_DIR:-target}/test-postgres
pid=$(cat "$dir/watch.pid" 2>/dev/null) || exit 0
# The number may be a stranger's by now; its command line shows the watcher.
grep -qsz '^watch$' "/proc/$pid/cmdline" || exit 0
kill -TERM "$pid" 2>/dev/null || exit 0
# Twenty seconds are more than a fast shutdown takes.
timeout 20 tail --pid="$pid" -f /dev/null || echo "the tests' PostgreSQL (pid $pid) is still stopping" >&2
