# Two commands matter: `make demo` and `make test`. Each installs what it needs on a fresh Debian machine that
# has Rust, Node and apt (as root or with sudo), and is fast the second time.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-stop build fmt fmt-check lint deny contracts-test rust-test chaos gas bench bench-full bench-parts clean

# More arguments for `make demo` and `make chaos`, as in: make chaos ARGS="--rounds 200 --seed 7"
ARGS ?=

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 18

setup: ## install what is missing (Debian packages, npm packages)
	@scripts/setup.sh

demo: setup ## the whole path on this machine: list, snapshot, contracts, claims, chain
	cargo run --locked -p sluice-server --bin sluice -- demo $(ARGS)

test: setup ## every test, in stages, with a table at the end
	@scripts/test.sh

test-stop: ## stop the tests' PostgreSQL now (it stops by itself after two idle minutes)
	@scripts/stop-test-postgres.sh

build: setup ## the sluice binary, for development
	cargo build --locked -p sluice-server

fmt: ## format the Rust code
	cargo fmt --all

fmt-check:
	cargo fmt --all --check

lint: fmt-check ## formatting and clippy, warnings refused
	cargo clippy --workspace --all-targets --locked -- -D warnings

# Advisories are left out: their database is a download that a build without network cannot have. Run
# `cargo deny check advisories` where there is one.
deny: ## licences, banned crates and sources of all dependencies
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check bans licenses sources

contracts-test: setup ## forge tests, ABI check, gas snapshot
	npm --prefix contracts test

rust-test: setup ## the Rust tests
	cargo test --workspace --locked

chaos: setup ## the crash test, many rounds
	cargo run --locked -p sluice-sim -- chaos $(ARGS)

gas: setup ## gas per recipient and calldata, beside the peers' figures
	npm --prefix contracts run gas

bench: setup ## load tests at reduced size, a table of figures beside their goals (25 minutes; ARGS=--anew forgets a run cut short)
	cargo build --release --locked -p sluice-loadtests
	node scripts/bench.mjs $(ARGS)

bench-full: setup ## the same at full size (hours)
	cargo build --release --locked -p sluice-loadtests
	node scripts/bench.mjs --full $(ARGS)

bench-parts: setup ## benchmarks of single parts, in release
	cargo bench --workspace --benches --locked

clean: test-stop ## delete what was built, and the development servers' data
	cargo clean
	rm -rf .sluice contracts/out contracts/cache
