#!/usr/bin/env bash
# Runs every test in stages, each within a bound, and ends with a table of results and seconds.
#
# The budgets are for 2 cores and hold 30 minutes in all; a stage that takes twice its budget is stopped. All
# stages run, whatever became of the ones before, except that nothing runs without a build.
set -euo pipefail
# Jobs in process groups of their own: they keep Ctrl-C's usual effect, and can be ended whole.
set -m
cd "$(dirname "$0")/.."

logs=${CARGO_TARGET_DIR:-target}/test-logs
mkdir -p "$logs"
# Incremental files cost a cold build time and disk, and a fresh clone has no second build.
[ -n "${CI:-}" ] && export CARGO_INCREMENTAL=0
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

table=()
failed=0
running=
trap 'trap - INT TERM; [ -n "$running" ] && kill -TERM "$running" 2>/dev/null; scripts/stop-test-postgres.sh; exit 130' INT TERM

# What a stage's log counts, of cargo's and forge's own result lines.
counts() {
  awk '
    /^test result:/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1); if ($i ~ /^ignored/) s += $(i-1) } }
    /^Ran [0-9]+ test suites?/ { for (i = 2; i <= NF; i++) { if ($i == "tests" && $(i+1) ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1); if ($i ~ /^skipped/) s += $(i-1) } }
    END { if (p + f + s) printf "%d passed, %d failed, %d ignored", p, f, s }' "$1"
}

# stage NAME BUDGET_MINUTES COMMAND...
stage() {
  local name=$1 budget=$2 log=$logs/$1.log start=$SECONDS code=0 result
  shift 2
  printf '\n=== %s (budget %s min): %s\n' "$name" "$budget" "$*"
  exec 3> >(exec tee "$log")
  local tee=$!
  timeout --kill-after=30 "$((budget * 120))" "$@" </dev/null >&3 2>&1 3>&- &
  running=$!
  exec 3>&-
  wait "$running" || code=$?
  running=
  # A process that a test left behind may hold the pipe open; that is no reason to wait for ever.
  timeout 5 tail --pid="$tee" -f /dev/null || true
  case $code in
    0) result=ok ;;
    124 | 137) result="STOPPED after twice its budget" ;;
    *) result="FAILED ($code)" ;;
  esac
  [ "$code" = 0 ] || failed=1
  local seconds=$((SECONDS - start)) over=
  [ "$seconds" -gt "$((budget * 60))" ] && over=" over budget"
  table+=("$(printf '%-10s %6s s of %4s s%s  %s  %s' "$name" "$seconds" "$((budget * 60))" "$over" "$result" "$(counts "$log")")")
  return "$code"
}

# skip NAME REASON: a stage that this checkout does not have yet.
skip() {
  table+=("$(printf '%-10s %6s s           %s' "$1" - "$2")")
}

# Nine minutes between the three: clippy checks every dependency once more, which a build does not spare it.
build() {
  stage format 1 cargo fmt --all --check || true
  stage build 5 cargo test --workspace --locked --no-run
}

lint() {
  stage lint 3 cargo clippy --workspace --all-targets --locked -- -D warnings || true
}

tests() {
  if [ -f contracts/package.json ]; then
    stage contracts 3 npm --prefix contracts test || true
  else
    skip contracts "no contracts/package.json"
  fi
  stage rust 7 cargo test --workspace --locked --no-fail-fast || true
  if [ -f crates/sim/src/main.rs ]; then
    # One seed, so that a red run is red again; `make chaos ARGS=…` draws others and more rounds.
    stage chaos 5 cargo run --locked -p sluice-sim -- chaos --short --seed 1 || true
  else
    skip chaos "no chaos harness in crates/sim yet"
  fi
  if [ -f web/package.json ]; then
    stage web 4 npm --prefix web test || true
  else
    skip web "no web/ yet"
  fi
}

if build; then
  lint
  tests
fi
scripts/stop-test-postgres.sh

printf '\n%s\n' "--- make test: $SECONDS s in all, of 1800 s"
printf '%s\n' "${table[@]}"
[ "$failed" = 0 ] && echo "everything passed" || echo "NOT everything passed"
exit "$failed"
